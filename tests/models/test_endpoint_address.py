import pytest

from gems.models.endpoint_address import is_openai


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com:443/v1", True),
        ("https://API.OpenAI.com/v1", True),
        ("https://mine.openai.azure.com/openai", True),
        ("https://api.openai.com.evil.org/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("http://localhost:30000/v1", False),
        ("", False),
    ],
)
def test_openai_and_azure_are_known_by_their_hosts(url, expected):
    assert is_openai(url) is expected
