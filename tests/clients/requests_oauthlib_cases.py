"""requests-oauthlib, set up as its documentation shows for the legacy application flow. It refreshes by its own clock."""

import requests
from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session

from stage import CLIENT_ID, EXPIRY, GATE, PASSWORD, USER, seen, time_passes


def session(stored):
    return OAuth2Session(
        client=LegacyApplicationClient(client_id=CLIENT_ID),
        auto_refresh_url=f"{GATE}/refresh",
        auto_refresh_kwargs={"client_id": CLIENT_ID},
        token_updater=stored.append,
    )


def log_in(oauth, password=PASSWORD, **more):
    return oauth.fetch_token(f"{GATE}/login", username=USER, password=password, **more)


def refused_as_invalid_grant(attempt):
    try:
        attempt()
    except InvalidGrantError as error:
        assert error.status_code == 400, error
    else:
        raise AssertionError("it was accepted")


def it_survives_every_expiry_by_itself():
    stored = []
    oauth = session(stored)
    first = log_in(oauth)
    assert oauth.get(f"{GATE}/notes/0").status_code == 200
    for note in (1, 2, 3):
        time_passes(EXPIRY)
        answer = oauth.post(f"{GATE}/notes/{note}", json={"text": "x"})
        assert answer.status_code == 200, answer.text
        assert len(stored) == note, stored

    tokens = [first, *stored]
    for name in ("access_token", "refresh_token"):
        assert len({token[name] for token in tokens}) == 4, f"each refresh gives a new {name}"
    arrived = seen()
    assert [request["target"] for request in arrived] == [f"/notes/{note}" for note in range(4)], arrived
    assert all(request["subject"] == USER and request["authorization"] is None for request in arrived), arrived


def it_reads_a_wrong_password_as_invalid_grant():
    refused_as_invalid_grant(lambda: log_in(session([]), password="wrong"))


def it_reads_a_refresh_after_the_logout_as_invalid_grant():
    stored = []
    oauth = session(stored)
    token = log_in(oauth)
    answer = requests.post(f"{GATE}/logout", data={"refresh_token": token["refresh_token"]})
    assert answer.status_code == 200, answer.text
    assert oauth.get(f"{GATE}/notes").status_code == 401
    time_passes(EXPIRY)
    refused_as_invalid_grant(lambda: oauth.get(f"{GATE}/notes"))
    assert stored == [] and seen() == []


def it_names_the_client_in_the_body_as_well():
    oauth = session([])
    log_in(oauth, include_client_id=True)
    assert oauth.get(f"{GATE}/notes").status_code == 200
    # And as Basic, with an empty secret: so does it by itself when it is told the client's id.
    token = oauth.refresh_token(f"{GATE}/refresh", auth=requests.auth.HTTPBasicAuth(CLIENT_ID, ""))
    assert oauth.get(f"{GATE}/notes").status_code == 200 and token["token_type"] == "Bearer", token


def an_old_refresh_token_is_invalid_grant():
    oauth = session([])
    old = log_in(oauth)["refresh_token"]
    oauth.refresh_token(f"{GATE}/refresh")
    refused_as_invalid_grant(lambda: oauth.refresh_token(f"{GATE}/refresh", refresh_token=old))
    # The first one's child is still live: a retry that came too late ends nothing.
    assert oauth.get(f"{GATE}/notes").status_code == 200
