// The client in a real browser: examples/browser. Each case is called by a Rust test of its name.
import assert from "node:assert/strict";
import { call, isSignedIn, parallel, storedKey, told } from "./stage.mjs";

const ok = (count) => Array(count).fill(200);

export async function an_expiry_amid_twenty_requests_is_one_refresh_and_nobody_notices(stage) {
  const page = await stage.signedIn();
  // In the API's hands when the token expires; a browser has six connections, so not all of them.
  const held = parallel(page, 4, "/api/held");
  await stage.until("four have arrived", async () => (await stage.seen("/api/held")).length === 4);
  await stage.expire();
  assert.deepEqual(await parallel(page, 16, "/api/notes"), ok(16));
  await stage.tell("release");
  assert.deepEqual(await held, ok(4));

  assert.equal(await stage.count("refreshes"), 1);
  assert.equal((await stage.seen("/api/notes")).length, 16, "the API hears of each request once");
  assert.equal((await told(page, "refresh")).length, 1);
  assert.equal((await told(page, "signed-out")).length, 0);
}

export async function two_tabs_share_a_session_and_refresh_once(stage) {
  const one = await stage.signedIn();
  const other = await stage.tab();
  assert.equal((await call(other, "/api/notes")).status, 200);
  assert.equal(await stage.count("refreshes"), 0, "a new tab asks its neighbour");

  await stage.expire();
  const answers = await Promise.all([one, other].map((page) => parallel(page, 5, "/api/notes")));
  assert.deepEqual(answers, [ok(5), ok(5)]);
  assert.equal(await stage.count("refreshes"), 1);

  await stage.expire();
  assert.equal((await call(other, "/api/notes")).status, 200);
  assert.equal((await call(one, "/api/notes")).status, 200);
  assert.equal(await stage.count("refreshes"), 2, "each can go on with what the other got");

  await other.close();
  await stage.expire();
  assert.equal((await call(one, "/api/notes")).status, 200);
}

/** Has a request of the page refresh, and the answer lost after the server has turned the token. */
async function loseTheAnswer(stage, page) {
  await stage.expire();
  const swallow = async (route) => {
    await stage.tell("wire/swallow-answers");
    await route.continue();
  };
  await page.route("**/refresh", swallow, { times: 1 });
  const answer = call(page, "/api/notes").catch(() => "the page is gone");
  await stage.until("the server has turned the token", async () => (await stage.count("refreshes")) === 1);
  await stage.tell("wire/pass");
  return { answer };
}

export async function a_lost_answer_to_a_refresh_is_asked_for_again_with_the_same_key(stage) {
  const page = await stage.signedIn();
  const { answer } = await loseTheAnswer(stage, page);
  await stage.tell("wire/sever");
  assert.equal((await answer).status, 200);

  assert((await stage.count("refresh_repeats")) >= 1);
  assert.equal((await told(page, "signed-out")).length, 0);
  await stage.expire();
  assert.equal((await call(page, "/api/notes")).status, 200, "and the session goes on");
}

export async function a_refresh_that_is_never_answered_is_asked_for_again(stage) {
  const page = await stage.signedIn("?timeout=500");
  const { answer } = await loseTheAnswer(stage, page);
  assert.equal((await answer).status, 200);
  assert((await told(page, "refresh")).length > 1);
  assert((await stage.count("refresh_repeats")) >= 1);
}

export async function a_lost_answer_is_asked_for_again_after_a_reload(stage) {
  const page = await stage.signedIn();
  const key = await storedKey(page);
  await loseTheAnswer(stage, page);
  await page.reload();
  assert.equal((await call(page, "/api/notes")).status, 200);
  assert.notEqual(await storedKey(page), key);
  assert((await stage.count("refresh_repeats")) >= 1);
  await stage.expire();
  assert.equal((await call(page, "/api/notes")).status, 200);
}

export async function an_hour_offline_ends_nothing(stage) {
  await stage.context.clock.install();
  const page = await stage.signedIn();
  await stage.context.setOffline(true);
  await stage.tell("advance/3600");
  await page.clock.fastForward("01:00:00");
  assert.match((await call(page, "/api/notes")).error, /^TypeError/);
  await page.evaluate(() => client.sessions().catch(() => null));
  assert(await isSignedIn(page));

  await stage.context.setOffline(false);
  assert.deepEqual(await parallel(page, 5, "/api/notes"), ok(5));
  assert.equal(await stage.count("refreshes"), 1);
  assert.equal((await told(page, "signed-out")).length, 0);
}

export async function a_page_from_the_back_forward_cache_goes_on_with_the_tokens_of_today(stage) {
  const page = await stage.signedIn();
  const other = await stage.tab();
  await page.goto(`${stage.address}/page/other.html`);
  await stage.expire();
  assert.equal((await call(other, "/api/notes")).status, 200);

  await page.goBack({ waitUntil: "commit" });
  await stage.until("it is back", async () => (await told(page, "restored")).length === 1);
  assert.deepEqual(await parallel(page, 5, "/api/notes"), ok(5));
  assert.equal(await stage.count("refreshes"), 1);

  await page.goto(`${stage.address}/page/other.html`);
  await other.evaluate(() => client.logout());
  await page.goBack({ waitUntil: "commit" });
  await stage.until("it is back", async () => (await told(page, "restored")).length === 2);
  assert.equal(await isSignedIn(page), false);
  assert.deepEqual(await told(page, "onSignedOut"), [{ type: "onSignedOut", why: "logout" }]);
}

export async function a_logout_in_one_tab_ends_the_other(stage) {
  const one = await stage.signedIn();
  const other = await stage.tab();
  assert.equal((await call(other, "/api/notes")).status, 200);

  assert.equal(await one.evaluate(() => client.logout()), true);

  await stage.until("the other has heard", async () => (await told(other, "onSignedOut")).length === 1);
  for (const page of [one, other]) {
    assert.equal(await isSignedIn(page), false);
    assert.equal((await call(page, "/api/notes")).status, 401);
    assert.deepEqual(await told(page, "onSignedOut"), [{ type: "onSignedOut", why: "logout" }]);
    assert.equal(await page.evaluate(() => localStorage.length), 0, "nothing is left");
  }
  assert.equal(await stage.count("logouts"), 1);
}

export async function a_logout_everywhere_ends_the_users_other_browsers(stage) {
  const here = await stage.signedIn();
  const tab = await stage.tab();
  const there = await stage.signedIn("", { from: await stage.person() });
  assert.equal((await call(there, "/api/notes")).status, 200);

  await here.evaluate(() => client.logoutEverywhere());

  await stage.until("the tab has heard", async () => !(await isSignedIn(tab)));
  assert.equal(await isSignedIn(here), false);
  assert.deepEqual(await parallel(there, 5, "/api/notes"), Array(5).fill(401));
  assert.equal(await isSignedIn(there), false);
  assert.deepEqual(await told(there, "onSignedOut"), [{ type: "onSignedOut", why: "ended" }], "once");
}

export async function one_session_of_several_is_seen_and_ended(stage) {
  const here = await stage.signedIn();
  const there = await stage.signedIn("", { from: await stage.person() });
  const sessions = await here.evaluate(() => client.sessions());
  assert.equal(sessions.length, 2);
  assert.match(sessions[0].user_agent, /Chrome/);

  await here.evaluate((id) => client.endSession(id), sessions.find((session) => !session.current).id);

  assert.equal((await call(there, "/api/notes")).status, 401);
  assert.deepEqual(await told(there, "onSignedOut"), [{ type: "onSignedOut", why: "ended" }]);
  assert.equal((await call(here, "/api/notes")).status, 200);
}

export async function while_the_store_is_down_the_person_stays_signed_in(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  await stage.tell("store/lock");
  assert.deepEqual(await parallel(page, 3, "/api/notes"), Array(3).fill(503));
  const waits = (await told(page, "unavailable")).map((event) => event.wait);
  assert.deepEqual(waits, [2000, 2000, null], "as long as the server says, and not for ever");
  assert(await isSignedIn(page));

  await stage.tell("store/unlock");
  assert.equal((await call(page, "/api/notes")).status, 200);
  assert.equal((await told(page, "signed-out")).length, 0);
}

export async function a_gate_that_is_away_signs_nobody_out(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  await page.route("**/refresh", async (route) => {
    await stage.tell("wire/reset");
    await route.continue();
  });
  assert.match((await call(page, "/api/notes")).error, /^TypeError/);
  assert(await isSignedIn(page));

  await page.unroute("**/refresh");
  await stage.tell("wire/pass");
  assert.equal((await call(page, "/api/notes")).status, 200);
}

export async function tokens_go_to_no_other_origin(stage) {
  const page = await stage.signedIn();
  await page.evaluate((site) => client.fetch(`${site}/api/other`, { mode: "no-cors" }), stage.site);
  await call(page, "/api/elsewhere");
  const [other] = await stage.seen("/api/other");
  assert.equal(other.authorization, null);
  for (const there of await stage.seen("/api/there")) assert.equal(there.authorization, null);
}

export async function a_body_is_sent_again_whatever_it_is(stage) {
  const page = await stage.signedIn();
  const bodies = {
    text: () => ({ body: "words" }),
    blob: () => ({ body: new Blob(["words"]) }),
    form: () => ({ body: new URLSearchParams({ words: "words" }) }),
    bytes: () => ({ body: new TextEncoder().encode("words") }),
    files: () => {
      const form = new FormData();
      form.append("words", new File(["words"], "words.txt"));
      return { body: form };
    },
  };
  for (const [name, make] of Object.entries(bodies)) {
    for (const asRequest of [false, true]) {
      await stage.expire();
      const status = await page.evaluate(
        async ([name, make, asRequest]) => {
          const init = { method: "POST", ...(0, eval)(`(${make})`)() };
          const path = `/api/body-${name}`;
          return (await (asRequest ? client.fetch(new Request(path, init)) : client.fetch(path, init))).status;
        },
        [name, make.toString(), asRequest],
      );
      assert.equal(status, 200, name);
    }
    const seen = await stage.seen(`/api/body-${name}`);
    assert.equal(seen.length, 2);
    for (const { body } of seen) assert.match(body, /words/, name);
  }
  assert.equal(await stage.count("refreshes"), 10);
}

export async function who_aborts_a_request_does_not_abort_the_refresh(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  const { aborted, other } = await page.evaluate(async () => {
    const controller = new AbortController();
    const aborted = client.fetch("/api/notes?aborted", { signal: controller.signal }).catch((error) => error.name);
    const other = call("/api/notes");
    const watch = setInterval(() => {
      if (!events.some((event) => event.type === "refresh")) return;
      clearInterval(watch);
      controller.abort();
    }, 0);
    return { aborted: await aborted, other: (await other).status };
  });
  assert.deepEqual({ aborted, other }, { aborted: "AbortError", other: 200 });
  assert.equal(await stage.count("refreshes"), 1);
}

export async function the_apis_own_401_is_handed_on(stage) {
  const page = await stage.signedIn();
  assert.equal((await call(page, "/api/own-401")).status, 401);
  assert.equal(await stage.count("refreshes"), 0);
  assert(await isSignedIn(page));
}

export async function a_wrong_password_is_an_error_with_its_code(stage) {
  const page = await stage.tab();
  const error = await page.evaluate(() =>
    client.login("ann", "not her password").catch(({ name, status, code }) => ({ name, status, code })),
  );
  assert.deepEqual(error, { name: "SidegateError", status: 400, code: "invalid_grant" });
  assert.equal(await isSignedIn(page), false);
  assert.equal((await call(page, "/api/notes")).status, 401);
}

export async function a_new_password_ends_the_other_sessions_and_not_this_one(stage) {
  const here = await stage.signedIn();
  const tab = await stage.tab();
  const there = await stage.signedIn("", { from: await stage.person() });
  await here.evaluate((password) => client.changePassword(password, "an entirely new one"), stage.password);

  assert.equal((await call(there, "/api/notes")).status, 401);
  for (const page of [here, tab]) assert.equal((await call(page, "/api/notes")).status, 200);
  await stage.expire();
  for (const page of [here, tab]) assert.equal((await call(page, "/api/notes")).status, 200);
}

/** The server says so often that it cannot refresh now, and asks for so many seconds. */
const refuse = (page, times, seconds) => {
  const answer = { status: 503, headers: { "Retry-After": `${seconds}` } };
  return page.route("**/refresh", (route) => route.fulfill(answer), { times });
};

export async function a_wait_that_the_server_asked_for_is_forgotten_at_a_login(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  await refuse(page, 1, 3600);
  assert.equal((await call(page, "/api/notes")).status, 503);
  assert.equal((await call(page, "/api/notes")).status, 503, "it is not asked again");
  assert.equal((await told(page, "refresh")).length, 1);

  await stage.signIn(page, stage.another);
  await stage.expire();
  assert.equal((await call(page, "/api/notes")).status, 200);
}

export async function a_wait_that_the_server_asked_for_is_not_longer_when_the_clock_is_set(stage) {
  const page = await stage.signedIn();
  await stage.expire();
  await refuse(page, 3, 1);
  assert.equal((await call(page, "/api/notes")).status, 503);
  await page.evaluate(() => {
    const now = Date.now;
    Date.now = () => now() - 3_600_000;
  });
  assert.equal((await call(page, "/api/notes")).status, 200);
}
