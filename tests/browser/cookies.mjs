// Tokens in cookies, for pages that know nothing of tokens: forms, links, and the browser's own fetch.
import assert from "node:assert/strict";

const ok = (count) => Array(count).fill(200);

/** Logged in by a form; then on a page without any client. */
async function loggedIn(stage) {
  const page = await stage.context.newPage();
  await page.goto(`${stage.address}/page/login.html`);
  await page.fill("[name=username]", stage.user);
  await page.fill("[name=password]", stage.password);
  const [answer] = await Promise.all([page.waitForResponse("**/login"), page.click("button")]);
  assert.equal(answer.status(), 200);
  assert.doesNotMatch(await answer.text(), /sgr1_|eyJ/, "no token is in any body");
  await page.goto(`${stage.address}/page/other.html`);
  return page;
}

const get = (page, path) => page.evaluate(async (path) => (await fetch(path)).status, path);

const parallel = (page, count, path) =>
  page.evaluate(
    ([count, path]) =>
      Promise.all(Array.from({ length: count }, async (_, number) => (await fetch(`${path}?${number}`)).status)),
    [count, path],
  );

/** The names of the cookies that the browser keeps for the gate. */
const kept = async (stage) => (await stage.context.cookies(stage.address)).map(({ name }) => name).sort();

const OURS = ["__Host-default-access", "__Host-default-refresh"];

export async function cookie_mode_needs_no_client_code_at_all(stage) {
  const page = await loggedIn(stage);
  assert.deepEqual(await kept(stage), OURS);
  assert.deepEqual(await page.evaluate(() => [document.cookie, localStorage.length]), ["", 0], "no script sees them");

  assert.equal(await get(page, "/api/notes"), 200);
  await stage.expire();
  assert.equal(await get(page, "/api/notes"), 200);
  await stage.expire();
  assert.equal((await page.goto(`${stage.address}/api/notes`)).status(), 200, "a link is as good as a script");
  await page.reload();
  assert.equal(await stage.count("refreshes"), 2);
  for (const seen of await stage.seen("/api/notes")) {
    assert.equal(seen.subject, stage.user);
    assert.equal(seen.cookie, null, "our cookies stay here");
  }

  await page.goto(`${stage.address}/page/other.html`);
  assert.equal(await page.evaluate(async () => (await fetch("/logout", { method: "POST" })).status), 200);
  assert.deepEqual(await kept(stage), []);
  assert.equal(await get(page, "/api/notes"), 401);
}

export async function twenty_requests_at_an_expiry_turn_the_cookies_once(stage) {
  const page = await loggedIn(stage);
  const tab = await stage.context.newPage();
  await tab.goto(`${stage.address}/page/other.html`);
  for (let round = 1; round <= 3; round++) {
    await stage.expire();
    const answers = await Promise.all([parallel(page, 20, "/api/notes"), parallel(tab, 20, "/api/notes")]);
    assert.deepEqual(answers, [ok(20), ok(20)]);
    assert.equal((await stage.count("refreshes")) - (await stage.count("refresh_repeats")), round);
  }
  assert.equal((await stage.seen("/api/notes")).length, 120, "each once");
}

export async function a_lost_answer_and_a_left_page_log_nobody_out(stage) {
  const page = await loggedIn(stage);
  await stage.expire();
  await stage.tell("wire/swallow-answers");
  void get(page, "/api/lost").catch(() => null);
  await stage.until("it has arrived", async () => (await stage.seen("/api/lost")).length > 0);
  await stage.tell("wire/pass");
  await stage.tell("wire/sever");
  await page.goto(`${stage.address}/page/other.html`);
  assert.equal(await get(page, "/api/notes"), 200);

  await stage.expire();
  void page.goto(`${stage.address}/api/held`).catch(() => null);
  await stage.until("it has arrived", async () => (await stage.seen("/api/held")).length > 0);
  await page.goto(`${stage.address}/page/other.html`);
  assert.equal(await get(page, "/api/notes"), 200);
  assert.deepEqual(await kept(stage), OURS);
}

export async function while_the_store_is_down_the_cookies_stay(stage) {
  const page = await loggedIn(stage);
  await stage.expire();
  await stage.tell("store/lock");
  assert.equal(await get(page, "/api/notes"), 503);
  assert.deepEqual(await kept(stage), OURS);
  await stage.tell("store/unlock");
  assert.equal(await get(page, "/api/notes"), 200);
}

/** A page of somebody else: another site, or another port of this one, to which browsers send the cookies. */
const strangers = (stage) => [stage.site.replace("127.0.0.1", "evil.example"), stage.site];

export async function what_another_page_forges_never_arrives(stage) {
  const page = await loggedIn(stage);
  for (const stranger of strangers(stage)) {
    const other = await stage.context.newPage();
    const post = async (path, fields) => {
      await other.goto(`${stranger}/page/other.html`);
      const answered = other.waitForResponse((answer) => answer.url() === `${stage.address}${path}`);
      await other.evaluate(
        ([action, fields]) => {
          const form = Object.assign(document.createElement("form"), { method: "post", action });
          for (const [name, value] of Object.entries(fields)) {
            form.append(Object.assign(document.createElement("input"), { name, value }));
          }
          document.body.append(form);
          form.submit();
        },
        [`${stage.address}${path}`, fields],
      );
      await other.waitForURL(`${stage.address}${path}`);
      return (await answered).status();
    };
    const refused = stranger === stage.site ? [403] : [401, 403];
    assert(refused.includes(await post("/api/transfer", { amount: "1000" })), stranger);
    assert.equal(await post("/login", { username: stage.user, password: stage.password }), 403, "nor a login");
    assert.equal(await post("/logout", {}), 403, "nor a logout");

    await other.goto(`${stranger}/page/other.html`);
    await other.evaluate(async (gate) => {
      const body = new Blob(["{}"], { type: "text/plain" });
      await fetch(`${gate}/api/transfer`, { method: "POST", mode: "no-cors", credentials: "include", body });
      await fetch(`${gate}/logout`, { mode: "no-cors", credentials: "include" });
      await new Promise((resolve) => Object.assign(new Image(), { src: `${gate}/logout`, onerror: resolve }));
    }, stage.address);
    await other.close();
  }
  assert.deepEqual(await stage.seen("/api/transfer"), []);
  assert.equal(await get(page, "/api/notes"), 200, "and the person is as logged in as before");
  assert.equal(await page.evaluate(async () => (await fetch("/api/transfer", { method: "POST" })).status), 200);
}

/** What a WebSocket heard first; `null` if it was not let in. */
const connect = (page, url) =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onmessage = (event) => resolve(event.data);
        socket.onerror = () => resolve(null);
      }),
    url,
  );

export async function a_forged_web_socket_is_refused_and_the_own_one_opens(stage) {
  const page = await loggedIn(stage);
  const socket = `${stage.address.replace("http", "ws")}/api/socket`;
  for (const stranger of strangers(stage)) {
    const other = await stage.context.newPage();
    await other.goto(`${stranger}/page/other.html`);
    assert.equal(await connect(other, socket), null, stranger);
  }
  assert.deepEqual(await stage.seen("/api/socket"), []);
  assert.equal(await connect(page, socket), "hello");
  assert.equal((await stage.seen("/api/socket")).length, 1);
}

export async function another_sites_link_brings_the_cookies_and_its_scripts_do_not(stage) {
  await loggedIn(stage);
  const other = await stage.context.newPage();
  await other.goto(`${strangers(stage)[0]}/page/other.html`);
  const answered = other.waitForResponse((answer) => answer.url() === `${stage.address}/api/notes`);
  await other.evaluate(
    (url) => fetch(url, { mode: "no-cors", credentials: "include" }).catch(() => null),
    `${stage.address}/api/notes`,
  );
  assert.equal((await answered).status(), 401, "SameSite=Lax keeps them from what a page loads");
  const [answer] = await Promise.all([
    other.waitForResponse((answer) => answer.url() === `${stage.address}/api/linked`),
    other.evaluate((url) => location.assign(url), `${stage.address}/api/linked`),
  ]);
  assert.equal(answer.status(), 200);
}

export async function a_person_without_a_session_is_sent_to_the_login_page(stage) {
  const page = await stage.context.newPage();
  await page.goto(`${stage.address}/api/notes?page=2`);
  assert.equal(page.url(), `${stage.address}/page/login.html?next=%2Fapi%2Fnotes%3Fpage%3D2`);
  assert.equal(await get(page, "/api/notes"), 401, "a script is told");
}
