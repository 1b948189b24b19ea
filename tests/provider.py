"""A real OpenID Connect provider, in a process of its own: Authlib's server parts, PKCE required, JWT access tokens.

``python -m tests.provider PORT``. Anyone signs in by name alone; what a person's tokens say is told beforehand with
``PUT /people/NAME``, strength of the sign-in included. ``POST /rotate`` signs with a new key from then on; ``POST /sign`` signs whatever a test wants.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core.grants import OpenIDCode
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask, Response, jsonify, redirect, request, session
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET, AUDIENCE = "clinical-mm", "a secret of two", "clinical-mm-api"


@dataclass
class Client:
    """This service, as the provider knows it."""

    client_id: str = CLIENT_ID

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.endswith("/sign-in/callback")

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind == "authorization_code"


@dataclass
class Person:
    """Someone, and what is said of them."""

    name: str
    signed_in_at: float = 0.0
    claims: dict[str, Any] = field(default_factory=dict)

    def get_user_id(self) -> str:
        return self.name


@dataclass
class Code:
    """An authorization code, good once."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    person: str
    signed_in_at: float
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.signed_in_at)

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Memory:
    """Everything that the provider knows."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys = [RSAKey.generate_key(2048, auto_kid=True)]
        self.people: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, Code] = {}
        self.slow_s = 0.0
        self.userinfo_alone: list[str] = []
        """Claims that no ID token holds."""

    def claims(self, name: str) -> dict[str, Any]:
        return {"sub": name, "name": name.title(), **self.people.get(name, {})}


def _codes(memory: Memory) -> type[AuthorizationCodeGrant]:
    class Codes(AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            sent = request.payload
            memory.codes[code] = Code(
                code=code,
                client_id=sent.client_id,
                redirect_uri=sent.redirect_uri,
                scope=sent.scope,
                person=request.user.name,
                signed_in_at=request.user.signed_in_at,
                nonce=sent.data.get("nonce"),
                code_challenge=sent.data.get("code_challenge"),
                code_challenge_method=sent.data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, _client: Client) -> Code | None:
            return memory.codes.get(code)

        def delete_authorization_code(self, code: Code) -> None:
            memory.codes.pop(code.code, None)

        def authenticate_user(self, code: Code) -> Person:
            return Person(code.person)

    return Codes


def _ids(memory: Memory) -> OpenIDCode:
    class Ids(OpenIDCode):
        def exists_nonce(self, nonce: str, _request: Any) -> bool:
            return any(code.nonce == nonce for code in memory.codes.values())

        def resolve_client_private_key(self, _client: Client) -> RSAKey:
            return memory.keys[-1]

        def get_client_algorithm(self, _client: Client) -> str:
            return "RS256"

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            return {"iss": memory.issuer, "aud": [client.client_id], "exp": int(time.time()) + 600}

        def get_encode_header(self, _client: Client) -> dict[str, Any]:
            return {"alg": "RS256", "kid": memory.keys[-1].kid}

        def generate_user_info(self, user: Person, _scope: str) -> dict[str, Any]:
            return {k: v for k, v in memory.claims(user.name).items() if k not in memory.userinfo_alone}

    return Ids(require_nonce=True)


def _tokens(memory: Memory) -> JWTBearerTokenGenerator:
    class Tokens(JWTBearerTokenGenerator):
        def get_jwks(self) -> RSAKey:
            return memory.keys[-1]

        def get_audiences(self, _client: Client, _user: Person, _scope: str) -> str:
            return AUDIENCE

        def get_extra_claims(self, _client: Client, _kind: str, user: Person, _scope: str) -> dict[str, Any]:
            return memory.claims(user.name)

    return Tokens(memory.issuer)


def provider(issuer: str) -> Flask:
    app = Flask(__name__)
    app.secret_key = os.urandom(24)
    app.config["SESSION_COOKIE_NAME"] = "provider"
    memory, client = Memory(issuer), Client()
    server = AuthorizationServer(app, lambda client_id: client if client_id == CLIENT_ID else None, lambda *_: None)
    server.register_token_generator("default", _tokens(memory))
    server.register_grant(_codes(memory), [CodeChallenge(required=True), _ids(memory)])
    _metadata(app, memory)
    _flow(app, memory, server)
    _levers(app, memory)
    return app


def _metadata(app: Flask, memory: Memory) -> None:
    @app.before_request
    def dawdle() -> None:
        time.sleep(0 if request.path in {"/settings", "/rotate", "/sign"} else memory.slow_s)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(
            issuer=memory.issuer,
            authorization_endpoint=f"{memory.issuer}/authorize",
            token_endpoint=f"{memory.issuer}/token",
            userinfo_endpoint=f"{memory.issuer}/userinfo",
            jwks_uri=f"{memory.issuer}/jwks",
            end_session_endpoint=f"{memory.issuer}/end",
        )

    @app.get("/jwks")
    def jwks() -> Response:
        return jsonify(KeySet(list(memory.keys)).as_dict())


def _flow(app: Flask, memory: Memory, server: AuthorizationServer) -> None:
    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        if "code_challenge" not in request.args:
            return "PKCE is required", 400
        age = time.time() - session.get("at", 0)
        known = request.args.get("prompt") != "login" and age <= float(request.args.get("max_age", "inf"))
        name = request.form.get("name") or (session.get("name") if known else None)
        if name is None:
            server.get_consent_grant(end_user=None)
            return '<form method="post"><label>Name <input name="name"></label><button>Let me in</button></form>'
        if "name" in request.form:
            session["name"], session["at"] = name, time.time()
        return server.create_authorization_response(grant_user=Person(name, session["at"]))

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/userinfo")
    def userinfo() -> Response:
        presented = request.headers["Authorization"].removeprefix("Bearer ")
        return jsonify(memory.claims(jwt.decode(presented, memory.keys[-1]).claims["sub"]))

    @app.get("/end")
    def end() -> Any:
        jwt.decode(request.args["id_token_hint"], KeySet(list(memory.keys)))
        session.clear()
        return redirect(request.args["post_logout_redirect_uri"], 303)


def _levers(app: Flask, memory: Memory) -> None:
    @app.put("/people/<name>")
    def tell(name: str) -> Response:
        memory.people[name] = request.get_json()
        return Response(status=204)

    @app.post("/settings")
    def settings() -> Response:
        for setting, value in request.get_json().items():
            setattr(memory, setting, value)
        return Response(status=204)

    @app.post("/rotate")
    def rotate() -> Response:
        memory.keys.append(RSAKey.generate_key(2048, auto_kid=True))
        return Response(status=204)

    @app.post("/sign")
    def sign() -> str:
        told = request.get_json()
        header = {"alg": "RS256", "typ": "at+jwt", "kid": memory.keys[-1].kid, **told.get("header", {})}
        text = f"{_part(header)}.{_part(told['claims'])}"  # by hand: a library would refuse what a test is to refuse
        private: Any = memory.keys[-1].private_key
        return f"{text}.{_base64(private.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


if __name__ == "__main__":
    provider(f"http://127.0.0.1:{sys.argv[1]}").run("127.0.0.1", int(sys.argv[1]), threaded=True)
