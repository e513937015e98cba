// The client of examples/browser where several logins, tabs or storages meet. Each case is called by a Rust test of its name.
import assert from "node:assert/strict";
import { call, isSignedIn, parallel, storedKey, told } from "./stage.mjs";

const ok = (count) => Array(count).fill(200);

export async function another_login_is_followed_by_all_tabs(stage) {
  const one = await stage.signedIn();
  const other = await stage.tab();
  assert.equal((await call(other, "/api/notes")).status, 200);
  await one.evaluate(() => client.logout());
  await stage.until("the other has heard", async () => !(await isSignedIn(other)));

  await one.evaluate(([user, password]) => client.login(user, password), [stage.user, stage.password]);
  await stage.until("the other has heard", () => isSignedIn(other));
  assert.equal((await call(other, "/api/notes")).status, 200);
  assert.equal(await stage.count("refreshes"), 0);
}

/** Signs another person in, and waits until the page can see it: browsers bring what is stored to other tabs late. */
async function signInElsewhere(stage, page, place) {
  const key = await storedKey(page);
  await stage.signIn(place, stage.another);
  await stage.until("the page can see the login", async () => (await storedKey(page)) !== key);
}

export async function a_request_of_one_person_is_not_repeated_with_the_token_of_another(stage) {
  const page = await stage.signedIn();
  const other = await stage.tab();
  for (const [number, place] of [page, other].entries()) {
    await stage.signIn(page, stage.user);
    await stage.expire();
    const { arrived, release } = await stage.hold(page, `**/api/of-one-${number}`, { answer: true });
    const answer = call(page, `/api/of-one-${number}`, { method: "POST", body: "words" });
    await arrived();
    await signInElsewhere(stage, page, place);
    release();
    assert.equal((await answer).status, 401);
    assert.deepEqual(await stage.seen(`/api/of-one-${number}`), []);

    assert.equal((await call(page, `/api/of-another-${number}`)).status, 200);
    const [{ subject }] = await stage.seen(`/api/of-another-${number}`);
    assert.equal(subject, stage.another);
  }
  assert.equal((await told(page, "retry")).length, 0);

  await stage.expire();
  const { arrived, release } = await stage.hold(page, "**/api/of-one-again", { answer: true });
  const answer = call(page, "/api/of-one-again");
  await arrived();
  await signInElsewhere(stage, page, other);
  release();
  assert.equal((await answer).status, 401, "another login of the same person is another login");
}

export async function a_request_that_waits_for_a_token_does_not_get_another_persons(stage) {
  const page = await stage.signedIn();
  await page.reload();
  const { arrived, release } = await stage.hold(page, "**/refresh");
  const waiting = call(page, "/api/waiting");
  await arrived();
  await stage.signIn(page, stage.another);
  assert.equal((await call(page, "/api/notes")).status, 200, "who is here now does not wait for who was");
  release();
  assert.equal((await waiting).status, 401);
  assert.deepEqual(await stage.seen("/api/waiting"), []);

  await stage.expire();
  assert.equal((await call(page, "/api/notes")).status, 200);
  assert.deepEqual((await stage.seen("/api/notes")).map(({ subject }) => subject), [stage.another, stage.another]);
  assert.equal((await told(page, "signed-out")).length, 0);
}

export async function what_is_sent_again_is_what_was_asked_for_at_the_call(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  const status = await page.evaluate(async () => {
    const body = new URLSearchParams({ words: "first" });
    const init = { method: "PUT", headers: new Headers({ "Content-Language": "en" }), body };
    const input = new URL("/api/written", location.href);
    const answer = client.fetch(input, init);
    init.method = "DELETE";
    init.headers.set("Content-Language", "de");
    body.set("words", "second");
    init.body = "third";
    input.pathname = "/api/notes";
    return (await answer).status;
  });
  assert.equal(status, 200);
  assert.deepEqual(
    (await stage.seen("/api/written")).map(({ method, language, body }) => [method, language, body]),
    [["PUT", "en", "words=first"]],
  );
  assert.deepEqual(await stage.seen("/api/notes"), []);
}

export async function session_storage_is_refused_because_a_duplicated_tab_copies_it(stage) {
  const page = await stage.tab();
  const error = await page.evaluate(() => {
    sessionStorage.setItem("here", "yes");
    open(location.href);
    try {
      return void sidegate.createClient({ base: location.origin, storage: sessionStorage });
    } catch (error) {
      return `${error}`;
    }
  });
  assert.match(error ?? "", /^TypeError: sessionStorage is copied .* hint: /);

  await stage.until("a second page is open", () => stage.context.pages().length === 2);
  const copy = stage.context.pages()[1];
  await copy.waitForLoadState();
  assert.equal(await copy.evaluate(() => sessionStorage.getItem("here")), "yes", "it is as the reason says");
}

export async function pages_that_keep_their_tokens_to_themselves_leave_each_other_alone(stage) {
  const one = await stage.signedIn("?memory");
  const other = await stage.signedIn("?memory");
  assert.equal(await one.evaluate(() => localStorage.length), 0);
  await stage.expire();
  const answers = await Promise.all([one, other].map((page) => parallel(page, 5, "/api/notes")));
  assert.deepEqual(answers, [ok(5), ok(5)]);
  assert.equal(await stage.count("refreshes"), 2);

  await one.evaluate(() => client.logout());
  await stage.expire();
  assert.equal((await call(other, "/api/notes")).status, 200);
  assert.equal((await told(other, "signed-out")).length, 0);
}

export async function without_locks_two_tabs_get_the_same_successor(stage) {
  const at = stage.address.replace("127.0.0.1", "app.example");
  const one = await stage.signedIn("", { at });
  const other = await stage.tab("", { at });
  assert.equal(await one.evaluate(() => isSecureContext || "locks" in navigator), false);
  assert.equal((await call(other, "/api/notes")).status, 200);
  for (let round = 1; round <= 5; round++) {
    await stage.expire();
    const refreshes = await Promise.all([one, other].map((page) => stage.hold(page, "**/refresh", { answer: true })));
    const answers = Promise.all([one, other].map((page) => parallel(page, 3, "/api/notes")));
    for (const { arrived } of refreshes) await arrived();
    for (const { release } of refreshes) release();
    assert.deepEqual(await answers, [ok(3), ok(3)], `round ${round}`);
  }
  assert.equal(await stage.count("refresh_repeats"), 5);
}

export async function locks_that_are_denied_or_held_for_ever_keep_nobody_waiting(stage) {
  const page = await stage.signedIn("?timeout=500");
  const asleep = await stage.tab();
  await asleep.evaluate(async () => {
    const [name] = Object.keys(localStorage);
    await new Promise((held) => void navigator.locks.request(name, () => new Promise(held)));
  });
  await stage.expire();
  assert.deepEqual(await parallel(page, 3, "/api/notes"), ok(3));
  assert.equal(await stage.count("refreshes"), 1);

  const denied = () => Promise.reject(new DOMException("denied", "SecurityError"));
  await page.evaluate((denied) => void (navigator.locks.request = (0, eval)(denied)), denied.toString());
  await stage.expire();
  assert.deepEqual(await parallel(page, 3, "/api/notes"), ok(3));
  assert.equal(await stage.count("refreshes"), 2);
}

export async function a_new_password_of_one_person_leaves_anothers_login_alone(stage) {
  const page = await stage.signedIn();
  const { arrived, release } = await stage.hold(page, "**/auth/password", { answer: true });
  const changed = page.evaluate((password) => client.changePassword(password, "an entirely new one"), stage.password);
  await arrived();
  await stage.signIn(page, stage.another);
  release();
  await changed;

  assert.equal((await call(page, "/api/notes")).status, 200);
  await page.reload();
  assert.equal((await call(page, "/api/notes")).status, 200);
  assert.deepEqual((await stage.seen("/api/notes")).map(({ subject }) => subject), [stage.another, stage.another]);
}

export async function a_logout_everywhere_of_one_person_leaves_anothers_login_alone(stage) {
  const page = await stage.signedIn();
  const { arrived, release } = await stage.hold(page, "**/auth/logout-all", { answer: true });
  const gone = page.evaluate(() => client.logoutEverywhere());
  await arrived();
  await stage.signIn(page, stage.another);
  release();
  await gone;

  assert(await isSignedIn(page));
  assert.equal((await call(page, "/api/notes")).status, 200);
}

export async function an_expired_token_of_another_tab_is_not_used(stage) {
  await stage.context.clock.install();
  const page = await stage.signedIn();
  const other = await stage.tab();
  await page.goto(`${stage.address}/page/other.html`);
  await stage.expire();
  assert.equal((await call(other, "/api/notes")).status, 200);
  await stage.expire();
  await other.clock.fastForward("00:11:00");

  await page.goBack({ waitUntil: "commit" });
  await stage.until("it is back", async () => (await told(page, "restored")).length === 1);
  assert.equal((await call(page, "/api/notes")).status, 200);
}
