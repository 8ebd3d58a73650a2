"""The Graph API's error objects, as the Meta stand-in answers them."""

from __future__ import annotations

from typing import Any

from adctl.sandbox.messages import Reply


class GraphError(Exception):
    """A refusal in the vendor's words; `subcode` 0 means none."""

    def __init__(
        self, code: int, message: str, *, subcode: int = 0, status: int = 400, kind: str = "OAuthException"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.status = status
        self.kind = kind

    def reply(self) -> Reply:
        """The error as an HTTP reply."""
        error: dict[str, Any] = {"message": str(self), "type": self.kind, "code": self.code, "is_transient": False}
        if self.subcode:
            error |= {"error_subcode": self.subcode, "error_user_title": "Refused", "error_user_msg": str(self)}
        return Reply.of({"error": error | {"fbtrace_id": f"Asandbox{self.code}"}}, status=self.status)


def invalid(message: str, subcode: int = 0) -> GraphError:
    """An invalid parameter (code 100)."""
    return GraphError(100, f"(#100) {message}", subcode=subcode)


def unknown_object(node_id: str) -> GraphError:
    """An object that does not exist or is not visible (100/33)."""
    text = (
        f"Unsupported request. Object with ID '{node_id}' does not exist, cannot be loaded due to missing permissions"
    )
    return GraphError(100, text, subcode=33, kind="GraphMethodException")


def bad_token() -> GraphError:
    """A missing or wrong access token (190)."""
    return GraphError(190, "Error validating access token: the session is invalid.", subcode=460, status=401)


def bad_cursor() -> GraphError:
    """A paging cursor that leads nowhere (2642)."""
    return GraphError(2642, "Invalid cursors values.")
