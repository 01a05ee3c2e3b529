"""What to do about an image that was refused."""

from __future__ import annotations

from image_pipeline.record import Refusal

ADVICE = {
    Refusal.UNSUPPORTED_TYPE: "Convert it to JPEG, PNG, GIF or WebP, or add its format to `formats` in imgpipe.toml, "
    "then imgpipe up and imgpipe reprocess --failed.",
    Refusal.TOO_LARGE: "Send a smaller file.",
    Refusal.TOO_MANY_PIXELS: "Scale it down and upload it again.",
    Refusal.TOO_MANY_SCANS: "Save it again with an image editor and upload it again.",
    Refusal.TRUNCATED: "The file was cut off before it was uploaded: upload the whole file again.",
    Refusal.CORRUPT: "Open it in an image editor, save it again and upload it again.",
    Refusal.METADATA_TOO_LARGE: "Strip its metadata and upload it again.",
    Refusal.EMPTY: "Upload the file again: no bytes arrived.",
    Refusal.FORBIDDEN: "See whether a policy keeps the function from reading the input bucket.",
    Refusal.CRASHED: "imgpipe logs --errors may say why; imgpipe reprocess --failed tries again.",
}
"""By the reason, in words; the commands in it reach the pipeline of the configuration."""
