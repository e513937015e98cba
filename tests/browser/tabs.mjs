// The client of examples/browser where tabs are gone, asleep or overtaken, a storage is full, an answer never comes. Each
// case is called by a Rust test of its name.
import assert from "node:assert/strict";
import { call, isSignedIn, parallel, storedKey, told } from "./stage.mjs";

const ok = (count) => Array(count).fill(200);

/** What has become of it, once it is settled. */
async function outcome(stage, what, promise) {
  let known;
  promise.then(
    (value) => (known = { value }),
    (error) => (known = { error: `${error}` }),
  );
  await stage.until(what, async () => known !== undefined);
  return known;
}

export async function a_page_that_comes_back_does_not_wait_for_a_tab_that_is_gone(stage) {
  const page = await stage.signedIn();
  const other = await stage.tab();
  await page.goto(`${stage.address}/page/other.html`);
  await stage.expire();
  assert.equal((await call(other, "/api/notes")).status, 200);
  await other.close();

  await page.goBack({ waitUntil: "commit" });
  await stage.until("it is back", async () => (await told(page, "restored")).length === 1);
  // Who waits for longer than a second waits for ever.
  await page.evaluate(() => {
    const real = setTimeout;
    globalThis.setTimeout = (work, time, ...more) => (time > 1000 ? 0 : real(work, time, ...more));
  });
  const answer = await outcome(stage, "it is answered", call(page, "/api/notes"));
  assert.equal(answer.value.status, 200);
  assert.equal(await stage.count("refreshes"), 2);
}

export async function a_page_is_told_that_another_tabs_login_has_replaced_its_own(stage) {
  const one = await stage.signedIn();
  const other = await stage.tab();
  const there = await stage.signedIn("", { from: await stage.person() });
  assert.equal((await call(other, "/api/notes")).status, 200);

  await stage.signIn(one, stage.another);
  await stage.until("the other has heard", async () => (await told(other, "onSignedOut")).length > 0);
  assert.deepEqual(await told(other, "onSignedOut", "signed-in"), [
    { type: "onSignedOut", why: "replaced" },
    { type: "signed-in", here: false },
  ]);
  assert.deepEqual(await told(one, "onSignedOut"), [], "who asks for a login knows");

  await stage.until("the session is over for the server", async () => (await stage.count("logouts")) === 1);
  assert.equal((await there.evaluate(() => client.sessions())).length, 1);
  for (const page of [one, other]) assert.equal((await call(page, "/api/anothers")).status, 200);
  assert.deepEqual((await stage.seen("/api/anothers")).map(({ subject }) => subject), [stage.another, stage.another]);
}

/** Not one character more can be stored. */
const fill = (page) =>
  page.evaluate(() => {
    let filler = "";
    for (let size = 2 ** 22; size >= 1; size /= 2) {
      try {
        localStorage.setItem("filler", filler + "x".repeat(size));
        filler += "x".repeat(size);
      } catch {
        // The next half.
      }
    }
  });

export async function a_storage_that_is_full_keeps_no_spent_token(stage) {
  // Where there are no locks a key is longer than the one before.
  const at = stage.address.replace("127.0.0.1", "app.example");
  const page = await stage.signedIn("", { at });
  const other = await stage.tab("", { at });
  assert.equal((await call(other, "/api/notes")).status, 200);
  await fill(page);

  await stage.expire();
  assert.deepEqual(await parallel(page, 3, "/api/notes"), ok(3));
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["filler"]);
  await stage.until("the other knows that it cannot go on", async () => !(await isSignedIn(other)));
  assert.equal((await call(other, "/api/notes")).status, 401);

  await stage.expire();
  assert.deepEqual(await parallel(page, 3, "/api/notes"), ok(3), "what could not be stored is good for the page");
  assert.equal(await stage.count("refreshes"), 2);
  assert.deepEqual(await told(page, "signed-out"), []);
}

export async function a_login_that_could_not_be_stored_gives_way_to_one_that_could(stage) {
  const page = await stage.tab();
  await fill(page);
  await stage.signIn(page, stage.user);
  assert.equal((await call(page, "/api/notes")).status, 200);

  const other = await stage.tab();
  await other.evaluate(() => localStorage.clear());
  await stage.signIn(other, stage.another);
  await stage.until("the page has heard", async () => (await told(page, "onSignedOut")).length === 1);
  assert.equal((await call(page, "/api/anothers")).status, 200);
  const [{ subject }] = await stage.seen("/api/anothers");
  assert.equal(subject, stage.another);

  await other.evaluate(() => client.logout());
  await stage.until("the page has heard", async () => !(await isSignedIn(page)));
  assert.deepEqual((await told(page, "onSignedOut")).map(({ why }) => why), ["replaced", "logout"]);
}

export async function a_storage_that_others_empty_is_noticed_at_once_and_an_entry_at_the_next_use(stage) {
  const why = { type: "onSignedOut", why: "logout" };
  const page = await stage.signedIn();
  const other = await stage.tab();
  await other.evaluate(() => localStorage.clear());
  await stage.until("the page has heard", async () => (await told(page, "onSignedOut")).length === 1);
  assert.equal((await call(page, "/api/notes")).status, 401);

  await stage.signIn(page, stage.user);
  await other.evaluate(() => localStorage.removeItem(`sidegate ${location.origin}`));
  await stage.until("the page sees it", () => page.evaluate(() => localStorage.length === 0));
  assert.equal((await call(page, "/api/notes")).status, 401);
  assert.deepEqual(await told(page, "onSignedOut"), [why, why]);
}

export async function two_tabs_of_which_one_was_overtaken_give_a_pair_one_key(stage) {
  const slow = await stage.signedIn();
  const quick = await stage.tab("?timeout=500");
  assert.equal((await call(quick, "/api/notes")).status, 200);
  const key = await storedKey(slow);
  await stage.expire();
  const answers = [];
  const refreshes = [];
  for (const page of [slow, quick]) {
    const refresh = await stage.hold(page, "**/refresh", { answer: true });
    answers.push(call(page, "/api/notes"));
    await refresh.arrived();
    refreshes.push(refresh);
  }
  // Both have the same pair now, and neither knows what the other will store.
  refreshes[0].release();
  assert.equal((await answers[0]).status, 200);
  assert.equal(await storedKey(slow), `${key}.1`, "the key that the quick one would have given");
  refreshes[1].release();
  assert.equal((await answers[1]).status, 200);

  await stage.expire();
  assert.deepEqual(await Promise.all([slow, quick].map((page) => parallel(page, 3, "/api/notes"))), [ok(3), ok(3)]);
  assert.doesNotMatch(await storedKey(slow), /\./, "alone again");
  for (const page of [slow, quick]) assert.deepEqual(await told(page, "signed-out"), []);
}

export async function a_login_that_is_never_answered_is_given_up(stage) {
  const page = await stage.tab("?timeout=100");
  await stage.hold(page, "**/login");
  const login = page.evaluate(() => client.login("ann", "a password").catch((error) => error.name));
  assert.deepEqual(await outcome(stage, "it is given up", login), { value: "TypeError" });
  assert.equal(await isSignedIn(page), false);
}

export async function a_logout_that_is_never_answered_is_asked_for_again(stage) {
  const page = await stage.signedIn("?timeout=500");
  await stage.hold(page, "**/logout");
  const logout = page.evaluate(() => client.logout());
  await stage.until("it has ended here", async () => !(await isSignedIn(page)));
  assert.deepEqual(await outcome(stage, "the server has heard", logout), { value: true });
  assert.equal(await stage.count("logouts"), 1);
}
