"""A stack that was left in pieces is explained from its events and brought back, and no data goes on the way."""

from __future__ import annotations

import pytest
from faraway import Cloud
from recorded import CALLER, STACK, change, change_set, events, stack

from imgpipe.errors import ImgpipeError
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.plan import Wanted, propose
from imgpipe.stack.recovery import last_failures, recover

BUNDLE = Bundle(b"zip", "ab" * 32)
QUOTA = 'Resource handler returned message: "Specified ReservedConcurrentExecutions is too high"'
FAILED_CREATION = (
    ("imgpipe-prod", "REVIEW_IN_PROGRESS", "User Initiated"),
    ("imgpipe-prod", "CREATE_IN_PROGRESS", "User Initiated"),
    ("InputBucket", "CREATE_COMPLETE", ""),
    ("Function", "CREATE_FAILED", QUOTA),
    ("Topic", "CREATE_FAILED", "Resource creation cancelled"),
    ("imgpipe-prod", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Topic, Function]."),
    ("InputBucket", "DELETE_COMPLETE", ""),
    ("imgpipe-prod", "ROLLBACK_COMPLETE", ""),
)
FAILED_UNDOING = (
    ("imgpipe-prod", "CREATE_IN_PROGRESS", "User Initiated"),
    ("Topic", "CREATE_FAILED", "an older story"),
    ("imgpipe-prod", "UPDATE_IN_PROGRESS", "User Initiated"),
    ("Function", "UPDATE_FAILED", QUOTA),
    ("imgpipe-prod", "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Function]."),
    ("JobsQueue", "UPDATE_FAILED", "The queue was deleted by hand."),
    ("imgpipe-prod", "UPDATE_ROLLBACK_FAILED", "The following resource(s) failed to update: [JobsQueue]."),
)


def gone(cloud: Cloud) -> None:
    cloud.refuses("cloudformation", "describe_stacks", "ValidationError", f"Stack with id {STACK} does not exist")


def recovered(cloud: Cloud) -> str:
    return recover(cloud.clients, "prod", lambda _: None)


def test_the_failures_of_the_last_operation_are_told_in_their_order_without_what_they_cancelled(cloud: Cloud) -> None:
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    assert [str(one) for one in last_failures(cloud.clients, STACK)] == [
        f"Function (AWS::Test::Function): {QUOTA}",
        "JobsQueue (AWS::Test::JobsQueue): The queue was deleted by hand.",
    ]
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_CREATION))
    assert [one.logical_id for one in last_failures(cloud.clients, STACK)] == ["Function"]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED"])
def test_the_remains_of_a_failed_creation_are_removed_and_the_cause_is_told(cloud: Cloud, status: str) -> None:
    cloud.says("cloudformation", "describe_stacks", stack(status))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_CREATION))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_CREATION))
    cloud.says("cloudformation", "delete_stack", {})
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_CREATION))
    gone(cloud)
    assert "Function (AWS::Test::Function): Resource handler" in recovered(cloud)
    # By id, and with no word about resources to drop: buckets and table are kept by their own policy.
    assert cloud.request("DeleteStack") == {"StackName": STACK}


def test_a_failed_undoing_is_tried_again_and_waited_for(cloud: Cloud) -> None:
    cloud.says("cloudformation", "describe_stacks", stack("UPDATE_ROLLBACK_FAILED"))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    cloud.says("cloudformation", "continue_update_rollback", {})
    done = (*FAILED_UNDOING, ("imgpipe-prod", "UPDATE_ROLLBACK_COMPLETE", ""))
    cloud.says("cloudformation", "describe_stack_events", events(*done))
    cloud.says("cloudformation", "describe_stacks", stack("UPDATE_ROLLBACK_COMPLETE"))
    cloud.says("cloudformation", "describe_events", {"OperationEvents": []})
    assert recovered(cloud).endswith("it is undone.")
    assert cloud.request("ContinueUpdateRollback") == {"StackName": STACK}


def test_a_failed_undoing_that_fails_again_is_explained_by_what_holds_it(cloud: Cloud) -> None:
    cloud.says("cloudformation", "describe_stacks", stack("UPDATE_ROLLBACK_FAILED"))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    cloud.says("cloudformation", "continue_update_rollback", {})
    again = (*FAILED_UNDOING, ("imgpipe-prod", "UPDATE_ROLLBACK_FAILED", ""))
    cloud.says("cloudformation", "describe_stack_events", events(*again))
    cloud.says("cloudformation", "describe_stacks", stack("UPDATE_ROLLBACK_FAILED"))
    cloud.says("cloudformation", "describe_events", {"OperationEvents": []})
    cloud.says("cloudformation", "describe_stack_events", events(*again))
    with pytest.raises(ImgpipeError, match="The queue was deleted by hand") as failure:
        recovered(cloud)
    assert failure.value.code == "stack_stuck"
    assert "--resources-to-skip JobsQueue" in failure.value.hint


def test_a_failed_deletion_is_explained_with_the_command_that_keeps_the_data(cloud: Cloud) -> None:
    cloud.says("cloudformation", "describe_stacks", stack("DELETE_FAILED"))
    held = ("imgpipe-prod", "DELETE_IN_PROGRESS", ""), ("FunctionRole", "DELETE_FAILED", "Cannot delete entity")
    cloud.says("cloudformation", "describe_stack_events", events(*held))
    with pytest.raises(ImgpipeError, match=r"DELETE_FAILED .* FunctionRole .*Cannot delete entity") as failure:
        recovered(cloud)
    assert failure.value.hint.startswith("aws cloudformation delete-stack --stack-name imgpipe-prod")


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"]
)
def test_a_sound_stack_is_left_alone(cloud: Cloud, status: str) -> None:
    cloud.says("cloudformation", "describe_stacks", stack(status))
    assert recovered(cloud) == ""


def test_a_dry_run_over_remains_removes_nothing(cloud: Cloud) -> None:
    cloud.says("sts", "get_caller_identity", CALLER)
    cloud.says("cloudformation", "describe_stacks", stack("ROLLBACK_COMPLETE"))
    plan = propose(cloud.clients, Wanted(stage="prod", parameters={}), lambda _: BUNDLE, lambda _: None)
    assert (plan.outcome, plan.change_set, plan.changes) == ("create", None, ())


def test_a_dry_run_over_a_stuck_stack_explains_it_and_touches_nothing(cloud: Cloud) -> None:
    cloud.says("sts", "get_caller_identity", CALLER)
    cloud.says("cloudformation", "describe_stacks", stack("UPDATE_ROLLBACK_FAILED"))
    cloud.says("cloudformation", "describe_stack_events", events(*FAILED_UNDOING))
    with pytest.raises(ImgpipeError, match="UPDATE_ROLLBACK_FAILED"):
        propose(cloud.clients, Wanted(stage="prod", parameters={}), lambda _: BUNDLE, lambda _: None)


def test_a_shell_that_another_proposal_left_is_no_stack(cloud: Cloud) -> None:
    cloud.says("sts", "get_caller_identity", CALLER)
    cloud.says("cloudformation", "describe_stacks", stack("REVIEW_IN_PROGRESS"))
    cloud.says("cloudformation", "create_change_set", {"Id": "arn:of:the:change:set", "StackId": STACK})
    made = change_set(change("Add", "Function", "AWS::Lambda::Function"))
    cloud.says("cloudformation", "describe_change_set", made)
    plan = propose(cloud.clients, Wanted(stage="prod", parameters={}), lambda _: BUNDLE, lambda _: None)
    assert (plan.outcome, cloud.request("CreateChangeSet")["ChangeSetType"]) == ("create", "CREATE")
