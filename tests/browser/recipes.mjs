// The recipes of examples/browser/README.md, as they stand there.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const readme = await readFile(new URL("../../examples/browser/README.md", import.meta.url), "utf8");
const recipe = (name) =>
  readme.split("```js\n").map((rest) => rest.split("```")[0]).find((block) => block.includes(`from "${name}"`));

/** A page with the recipe's `client` and `api`, signed in. */
async function page(stage, name) {
  const page = await stage.context.newPage();
  await page.goto(`${stage.address}/page/recipes.html`);
  const content = `${recipe(name)}\nObject.assign(globalThis, { client, api });`;
  await page.addScriptTag({ type: "module", content });
  await page.waitForFunction(() => globalThis.api);
  await page.evaluate(([user, password]) => client.login(user, password), [stage.user, stage.password]);
  return page;
}

export async function axios_goes_on_when_the_token_has_expired(stage) {
  const here = await page(stage, "axios");
  await stage.expire();
  const answer = await here.evaluate(async () => {
    const [read, written] = await Promise.all([api.get("/api/notes"), api.post("/api/written", { words: 1 })]);
    return [read.data.subject, written.data.body];
  });
  assert.deepEqual(answer, [stage.user, '{"words":1}']);
  assert.equal(await stage.count("refreshes"), 1);
}

export async function ky_goes_on_when_the_token_has_expired(stage) {
  const here = await page(stage, "ky");
  await stage.expire();
  const answer = await here.evaluate(async () => {
    const [read, written] = await Promise.all([
      api.get("/api/notes").json(),
      api.post("/api/written", { json: { words: 1 } }).json(),
    ]);
    return [read.subject, written.body];
  });
  assert.deepEqual(answer, [stage.user, '{"words":1}']);
  assert.equal(await stage.count("refreshes"), 1);
}
