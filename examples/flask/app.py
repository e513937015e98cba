"""A notes API with a JSON login, and a session in a cookie that Flask signs."""

import os
import secrets
import sqlite3

from flask import Flask, abort, g, jsonify, request, session
from werkzeug.security import check_password_hash, generate_password_hash

app = Flask(__name__)
# A new one at each start: whoever was signed in before has to sign in again.
app.secret_key = secrets.token_bytes(32)

DATABASE = os.path.join(os.path.dirname(__file__), "data", "notes.db")

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY, name TEXT UNIQUE, hash TEXT, roles TEXT);
CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, user INTEGER, text TEXT);
"""
FIRST_USERS = [(1, "root", "the first of all", "admin,reader"), (7, "ann", "correct horse battery", "reader")]


def database():
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE)
        g.database.row_factory = sqlite3.Row
    return g.database


@app.teardown_appcontext
def close(_error):
    if "database" in g:
        g.pop("database").close()


def prepare():
    os.makedirs(os.path.dirname(DATABASE), exist_ok=True)
    with app.app_context(), database() as connection:
        connection.executescript(SCHEMA)
        for number, name, password, roles in FIRST_USERS:
            row = (number, name, generate_password_hash(password), roles)
            connection.execute("INSERT OR IGNORE INTO user VALUES (?, ?, ?, ?)", row)


def find(name, value):
    return database().execute(f"SELECT * FROM user WHERE {name} = ?", (value,)).fetchone()


def member():
    """Who is signed in; 401 for everybody else."""
    user = find("id", session["user"]) if "user" in session else None
    if user is None:
        abort(401)
    return user


def shown(user):
    return {"id": user["id"], "name": user["name"], "roles": user["roles"].split(",")}


@app.errorhandler(401)
def unauthorized(_error):
    return jsonify(error="please sign in"), 401


@app.post("/api/login")
def login():
    sent = request.get_json()
    user = find("name", sent.get("name"))
    if user is None or not check_password_hash(user["hash"], sent.get("password", "")):
        return jsonify(error="name or password is wrong"), 401
    session.clear()
    session["user"] = user["id"]
    return jsonify(user=shown(user))


@app.get("/api/me")
def me():
    # The cookie is another one after each of these.
    user = member()
    session["asked"] = session.get("asked", 0) + 1
    return jsonify(user=shown(user), asked=session["asked"])


@app.get("/api/notes")
def notes():
    rows = database().execute("SELECT id, text FROM note WHERE user = ? ORDER BY id", (member()["id"],))
    return jsonify(notes=[dict(row) for row in rows])


@app.post("/api/notes")
def add_note():
    user = member()
    with database() as connection:
        connection.execute("INSERT INTO note (user, text) VALUES (?, ?)", (user["id"], request.get_json()["text"]))
    return jsonify(ok=True), 201


@app.post("/api/password")
def password():
    user, sent = member(), request.get_json()
    if not check_password_hash(user["hash"], sent.get("old", "")) or not sent.get("new"):
        return jsonify(error="the old password is wrong"), 400
    with database() as connection:
        connection.execute("UPDATE user SET hash = ? WHERE id = ?", (generate_password_hash(sent["new"]), user["id"]))
    return jsonify(ok=True)


@app.post("/api/logout")
def logout():
    session.clear()
    return "", 204


@app.delete("/api/users/<int:number>")
def delete_user(number):
    if "admin" not in member()["roles"].split(","):
        abort(403)
    with database() as connection:
        deleted = connection.execute("DELETE FROM user WHERE id = ?", (number,)).rowcount
    return ("", 204) if deleted else (jsonify(error="no such user"), 404)


prepare()
