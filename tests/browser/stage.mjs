// A headless Chromium, and the hands of a case: pages, the server's clock, the wire, the store.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PATIENCE = 20_000;

export async function launch() {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
  assert(executablePath, "chromium is missing: scripts/setup --tests installs it");
  return chromium.launch({
    executablePath,
    // Containers have a small /dev/shm and no user namespaces.
    args: ["--disable-dev-shm-usage", "--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"],
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}

export async function open({ page: address, control, health, user, another, password, ...more }) {
  const browser = await launch();
  const log = [];

  /** Another person's browser: storage and cookies of its own. */
  async function person() {
    const context = await browser.newContext();
    context.setDefaultTimeout(PATIENCE);
    context.on("page", (page) => {
      page.on("console", (message) => log.push(`page: ${message.text()}`));
      page.on("pageerror", (error) => log.push(`page: ${error}`));
      page.on("requestfinished", (request) => void note(request));
      page.on("requestfailed", (request) => log.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`));
    });
    return context;
  }

  async function note(request) {
    const answer = await request.response().catch(() => null);
    log.push(`${request.method()} ${request.url()}: ${answer?.status()}`);
  }

  const context = await person();

  const stage = {
    ...more,
    address,
    user,
    another,
    password,
    browser,
    context,
    person,
    log,
    close: () => browser.close(),

    /** A page with the client. */
    async tab(parameters = "", { from = context, at = address } = {}) {
      const page = await from.newPage();
      await page.goto(`${at}/page/app.html${parameters}`);
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      return page;
    },

    /** A page with the client, signed in. */
    async signedIn(parameters = "", where = {}) {
      const page = await stage.tab(parameters, where);
      await stage.signIn(page, user);
      return page;
    },

    async signIn(page, name) {
      for (let again = 3; ; again--) {
        try {
          return await page.evaluate(([name, password]) => client.login(name, password), [name, password]);
        } catch (error) {
          // A disk that stands still for a moment is no case of these.
          if (again === 0 || !/not possible at the moment/.test(String(error))) throw error;
        }
      }
    },

    /** Tells the deployment to do something, and returns what it says. */
    async tell(what) {
      const answer = await fetch(`${control}/${what}`, { method: "POST" });
      assert(answer.ok, `${what}: ${answer.status}`);
      return answer.json();
    },

    /** The requests that reached the API. */
    async seen(path) {
      const { seen } = await stage.tell("seen");
      return seen.filter((request) => request.path === path);
    },

    /** How often the server has answered so; all outcomes if none is named. */
    async count(metric, outcome) {
      const text = await (await fetch(`${health}/metrics`)).text();
      const labels = outcome === undefined ? "(?:\\{.*?\\})?" : `\\{outcome="${outcome}"\\}`;
      const lines = text.matchAll(new RegExp(`^sidegate_${metric}_total${labels} (\\d+)$`, "gm"));
      return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
    },

    /** Waits until it is so. */
    async until(what, isSo) {
      for (const end = Date.now() + PATIENCE; ; ) {
        if (await isSo()) return;
        assert(Date.now() < end, `never: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    /** Holds what becomes of the page's next request for this path, as it was sent, or as it was answered. */
    async hold(page, path, { answer = false } = {}) {
      let isHere = false;
      let release;
      const released = new Promise((resolve) => (release = resolve));
      const handle = async (route) => {
        // Only the browser knows the names.
        const url = route.request().url().replace("app.example", "127.0.0.1");
        const response = answer ? await route.fetch({ url }) : undefined;
        isHere = true;
        await released;
        await (answer ? route.fulfill({ response }) : route.continue());
      };
      await page.route(path, handle, { times: 1 });
      return { arrived: () => stage.until(`${path} is asked for`, async () => isHere), release };
    },

    /** Every access token there is has expired. */
    expire: () => stage.tell("advance/660"),
  };
  return stage;
}

/** A request of a page: its status, and its body as text. */
export const call = (page, path, init) => page.evaluate(([path, init]) => globalThis.call(path, init), [path, init]);

/** So many requests of a page at once; their statuses. */
export const parallel = (page, count, path) =>
  page.evaluate(
    async ([count, path]) => {
      // Each its own address: a browser sends the same one to the cache first, one by one.
      const calls = Array.from({ length: count }, (_, number) => globalThis.call(`${path}?number=${number}`));
      return (await Promise.all(calls)).map((answer) => answer.status ?? answer.error);
    },
    [count, path],
  );

/** The key of the stored refresh token. */
export const storedKey = (page) => page.evaluate(() => JSON.parse(Object.values(localStorage)[0] ?? "null")?.key);

/** What the client told its page, of these types. */
export const told = (page, ...types) =>
  page.evaluate((types) => events.filter((event) => types.includes(event.type)), types);

export const isSignedIn = (page) => page.evaluate(() => client.signedIn);
