"""The only module of the function that talks to DynamoDB: reading a row, and the guarded commit that replaces it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from image_pipeline.attributes import attributes, plain
from image_pipeline.faults import CommitUnknownError, TransientError, error_code, transient
from image_pipeline.record import ImageRecord


class Catalog:
    """The table of image records."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, image_key: str) -> ImageRecord | None:
        """The row as of now (a consistent read), or None. Raises TransientError."""
        request = {"TableName": self._table, "Key": {"image_key": {"S": image_key}}, "ConsistentRead": True}
        with transient("GetItem"):
            try:
                answer = self._client.get_item(**request)
            except HTTPClientError:
                # A connection that lay idle while the environment was frozen is found dead by its first call.
                answer = self._client.get_item(**request)
        return _record(answer.get("Item"))

    def commit(self, image_key: str, record: ImageRecord | None, *, replacing: ImageRecord | None) -> bool:
        """Compare and swap: make `record` the row (None: no row) if the row still is `replacing`.

        True when the row is now as asked, False when somebody else was there first. Raises TransientError when the
        table refused, CommitUnknownError when no answer came. To tell these apart the client must not retry by itself:
        the refusal of a second try would say nothing about the first.
        """
        request: dict[str, Any] = {"TableName": self._table, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        if replacing is None:
            request["ConditionExpression"] = "attribute_not_exists(image_key)"
        else:
            request["ConditionExpression"] = "revision = :seen"
            request["ExpressionAttributeValues"] = {":seen": {"S": replacing.revision}}
        try:
            if record is None:
                self._client.delete_item(Key={"image_key": {"S": image_key}}, **request)
            else:
                self._client.put_item(Item=attributes(record.to_item()), **request)
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                answered = error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
                raise (TransientError if answered else CommitUnknownError)(
                    f"The commit failed: {error_code(error)}"
                ) from error
            now = _record(error.response.get("Item"))
            return now is None if record is None else now is not None and now.revision == record.revision
        except (BotoCoreError, HTTPClientError) as error:
            raise CommitUnknownError(f"The commit failed: {type(error).__name__}") from error
        return True


def _record(item: dict[str, Any] | None) -> ImageRecord | None:
    return ImageRecord.from_item(plain(item)) if item else None
