"""The function's environment: what it means, and what is said when it is wrong."""

from __future__ import annotations

import json

import pytest

from image_pipeline.settings import Recipe, Settings, SettingsError, parse_renditions, recipe_from_environment

STACK = {
    "IMGPIPE_STACK": "imgpipe-dev",
    "IMGPIPE_ACCOUNT": "000000000000",
    "IMGPIPE_INPUT_BUCKET": "in",
    "IMGPIPE_RESIZED_BUCKET": "out",
    "IMGPIPE_THUMBNAILS_BUCKET": "thumbs",
    "IMGPIPE_TABLE": "images",
}


def test_the_default_recipe_makes_1024_512_128_and_a_64_thumbnail_of_large_pictures() -> None:
    recipe = Settings.from_environment(STACK).recipe
    assert [(one.name, one.box, one.fit, one.format) for one in recipe.renditions] == [
        ("1024", 1024, "inside", "keep"),
        ("512", 512, "inside", "keep"),
        ("128", 128, "inside", "keep"),
    ]
    thumbnail = recipe.thumbnail
    assert thumbnail is not None
    assert (thumbnail.box, thumbnail.fit, thumbnail.min_side) == (64, "cover", 1024)


@pytest.mark.parametrize("name", list(STACK))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({key: value for key, value in STACK.items() if key != name})


def test_adding_a_size_is_one_entry() -> None:
    recipe = recipe_from_environment(
        {"IMGPIPE_RENDITIONS": json.dumps({"renditions": [{"box": 1024}, {"box": 2048, "format": "webp"}]})}
    )
    assert [one.name for one in recipe.renditions] == ["1024", "2048-webp"]
    assert recipe.thumbnail == Recipe().thumbnail


def test_the_thumbnail_can_be_switched_off_and_changed() -> None:
    assert parse_renditions({"thumbnail": None})[1] is None
    thumbnail = parse_renditions({"thumbnail": {"box": 96}})[1]
    assert thumbnail is not None
    assert (thumbnail.box, thumbnail.fit, thumbnail.min_side) == (96, "cover", 1024)


def test_the_digest_changes_with_the_recipe_and_only_with_it() -> None:
    assert Recipe().digest == recipe_from_environment({}).digest
    assert Recipe().digest != recipe_from_environment({"IMGPIPE_MAX_PIXELS": "1000"}).digest
    assert len(Recipe().digest) == 12


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"IMGPIPE_RENDITIONS": "{"}, "not JSON"),
        ({"IMGPIPE_RENDITIONS": "[]"}, "renditions and thumbnail"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": []}'}, "at least one"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 0}]}'}, r"renditions\[0\]\.box"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": true}]}'}, r"renditions\[0\]\.box"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9, "size": 1}]}'}, "takes the keys name, box"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9, "fit": "fill"}]}'}, "inside or cover"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9, "format": "gif"}]}'}, "keep, jpeg, webp or avif"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9, "name": "../x"}]}'}, "letters"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9}, {"box": 9}]}'}, "two pictures are called '9'"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 64}]}'}, "two pictures are called '64'"),
        ({"IMGPIPE_RENDITIONS": '{"renditions": [{"box": 9, "name": "original"}]}'}, "cannot be 'original'"),
        ({"IMGPIPE_RENDITIONS": '{"thumbnail": 64}'}, "thumbnail takes the keys"),
        ({"IMGPIPE_FORMATS": "jpeg,heic"}, "'heic' is not an input format"),
        ({"IMGPIPE_MAX_PIXELS": "-1"}, "IMGPIPE_MAX_PIXELS"),
        ({"IMGPIPE_BACKOFF": "soon"}, "IMGPIPE_BACKOFF"),
        ({"IMGPIPE_MAX_RECEIVES": "0"}, "IMGPIPE_MAX_RECEIVES"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_hold(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.from_environment(STACK | environ)
