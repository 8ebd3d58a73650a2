"""HubSpot's error bodies, as the HubSpot stand-in answers them."""

from __future__ import annotations

from adctl.sandbox.messages import Reply


class HubSpotError(Exception):
    """A refusal in the vendor's words."""

    def __init__(self, status: int, message: str, category: str = "VALIDATION_ERROR") -> None:
        super().__init__(message)
        self.status = status
        self.category = category

    def reply(self) -> Reply:
        """The error as an HTTP reply."""
        body = {
            "status": "error",
            "message": str(self),
            "correlationId": f"00000000-0000-4000-8000-{self.status:012d}",
            "category": self.category,
        }
        return Reply.of(body, status=self.status)
