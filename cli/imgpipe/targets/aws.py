"""The target `aws`: the real thing, and nothing done there before it is known whose account it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets.base import Connection, Progress

if TYPE_CHECKING:
    from imgpipe.stack.bundle import Bundle
    from imgpipe.stack.names import Identity


class AwsTarget:
    """AWS in one region, with the credentials that boto3 finds for `profile`, or of its own accord where that is None.

    `account` is the only account that the stage may be in; None allows any.
    """

    name = "aws"

    def __init__(self, region: str, profile: str | None, account: str | None) -> None:
        self._region, self._profile, self._account = region, profile, account
        self._caller: Identity | None = None

    @property
    def place(self) -> str:
        """Where the connection leads, in words; only once there is one."""
        from imgpipe.targets.credentials import profile_in_use

        profile = profile_in_use(self._profile)
        account = self._caller.account if self._caller else "?"
        return f"AWS {account} {self._region}" + (f", profile {profile}" if profile else "")

    def connect(self) -> Connection:
        """How to reach AWS, after it said whose the credentials are.

        Raises `credentials` or `wrong_account` (exit 5), `not_up` (exit 4) where the region's endpoint is silent.
        """
        connection = Connection(target=self.name, region=self._region, profile=self._profile)
        if self._caller is None:
            caller = self._identify(connection)
            if self._account is not None and caller.account != self._account:
                raise self._wrong(caller.account)
            self._caller = caller
        return connection

    def start(self, progress: Progress) -> Connection:
        """AWS is always there; whether it lets us in is asked."""
        progress("Asking AWS whose credentials these are")
        return self.connect()

    def stop(self) -> bool:
        """There is nothing to stop."""
        return False

    def destroy(self) -> None:
        """What stays is the account, which is not ours to remove."""

    def parameters(self, said: Mapping[str, str]) -> dict[str, str]:
        """What the configuration says: the template's defaults are made for AWS."""
        return dict(said)

    def bundle(self, parameters: Mapping[str, str], progress: Progress) -> Bundle:
        """The source and its libraries, built for Lambda."""
        from imgpipe.stack.bundle import lambda_bundle
        from imgpipe.stack.parameters import default

        runtime = parameters.get("Runtime") or default("Runtime")
        architecture = parameters.get("Architecture") or default("Architecture")
        return lambda_bundle(architecture, runtime.removeprefix("python"), progress)

    def _identify(self, connection: Connection) -> Identity:
        from imgpipe.aws import Clients
        from imgpipe.failures import explain, is_about_credentials
        from imgpipe.stack.names import identity

        try:
            return identity(Clients(connection))
        except Exception as error:
            from imgpipe.targets.credentials import advise

            if is_about_credentials(error) or getattr(error, "operation_name", "").startswith("AssumeRole"):
                raise advise(error, self._profile) from error
            explained = explain(error)
            if explained.status is ExitStatus.UNREACHABLE:
                raise self._silent(explained) from error
            raise explained from error

    def _wrong(self, account: str) -> ImgpipeError:
        from imgpipe.targets.credentials import profile_in_use

        profile = profile_in_use(self._profile)
        whose = f"The profile {profile} belongs" if profile else "These credentials belong"
        return ImgpipeError(
            "wrong_account",
            f"{whose} to the account {account}, but this stage may only be in {self._account}; nothing was touched.",
            f"imgpipe --profile NAME status, with a profile of the account {self._account}",
            ExitStatus.CREDENTIALS,
        )

    def _silent(self, explained: ImgpipeError) -> ImgpipeError:
        """The endpoint does not answer, which is what a region that does not exist looks like."""
        import difflib

        from botocore.session import Session

        session = Session()
        partitions = session.get_available_partitions()
        known = [one for name in partitions for one in session.get_available_regions("sts", name)]
        if self._region in known:
            return explained
        close = difflib.get_close_matches(self._region, known, n=1)
        return ImgpipeError(
            explained.code,
            f"{explained.message.rstrip('.')}; {self._region} is no region that botocore knows.",
            f"imgpipe --region {close[0] if close else 'eu-west-1'} status",
            explained.status,
        )
