"""The server behind the explorer, spoken to directly: to prepare tests and to check effects."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_TIMEOUT_S = 60


class OrthancRest:
    """A few routes of Orthanc's REST API.

    Parameters
    ----------
    url : str
        Root of the API, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Give the body of a successful answer; `HTTPError` otherwise."""
        request = Request(f"{self.url}{path}", data=body, method=method)
        with urlopen(request, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read()
        return data

    def upload(self, files: list[bytes]) -> list[dict[str, str]]:
        """Store files one by one; what the server said of each."""
        return [json.loads(self.request("POST", "/instances", file)) for file in files]

    def find(self, level: str, **query: str) -> list[str]:
        """Give the identifiers of what matches."""
        body = json.dumps({"Level": level, "Query": query}).encode()
        found: list[str] = json.loads(self.request("POST", "/tools/find", body))
        return found

    def get(self, path: str) -> Any:
        """Give a JSON answer."""
        return json.loads(self.request("GET", path))

    def has(self, path: str) -> bool:
        """Tell whether a resource is there."""
        try:
            self.request("GET", path)
        except HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True

    def remove_study(self, study_instance_uid: str) -> None:
        """Delete a study if it is there."""
        for identifier in self.find("Study", StudyInstanceUID=study_instance_uid):
            self.request("DELETE", f"/studies/{identifier}")
