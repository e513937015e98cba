// The page of `sidegate demo`.
import assert from "node:assert/strict";

export async function the_demo_shows_the_401_the_refresh_and_the_retry(stage) {
  const page = await stage.context.newPage();
  await page.goto(`${stage.address}/`);
  assert.equal(new URL(page.url()).pathname, "/demo/");
  const arrows = async () =>
    (await page.locator(".episode").first().locator(".step .label").allTextContents()).map((text) => text.trim());
  const moral = page.locator(".episode").first().locator(".moral:not([hidden])");

  await page.click("#knock");
  await moral.waitFor();
  assert.deepEqual(await arrows(), ["GET /api/notes", "401: no token"]);

  await page.click("#login .primary");
  await page.waitForSelector("#sessions li");
  const other = await stage.person();
  const there = await other.newPage();
  await there.goto(`${stage.address}/demo/`);
  await there.click("#login .primary");
  await there.waitForSelector("#sessions li");

  await page.waitForSelector(".token.over");
  await page.click("#many");
  await page.waitForFunction(() => document.querySelector(".episode .title").textContent.startsWith("20"));
  await moral.waitFor();
  assert.deepEqual(await arrows(), [
    "20 ×GET /api/notes",
    "20 ×401: the token has expired",
    "POST /refresh",
    `a new pair, good for ${stage.ttl} s`,
    "20 ×GET /api/notes, again",
    "20 ×X-Auth-Subject: demo",
    "20 ×200",
  ]);
  assert.match(await moral.textContent(), /^Nobody noticed\. The page saw 20 × 200, one refresh, /);

  await page.waitForFunction(() => document.querySelectorAll("#sessions li").length === 2);
  await page.click("#sessions button");
  await page.waitForFunction(() => document.querySelectorAll("#sessions li").length === 1);
  await there.click("#one");
  await there.waitForSelector("#outside:not([hidden])");

  const [second] = await Promise.all([stage.context.waitForEvent("page"), page.click("#tab")]);
  await second.waitForSelector("#sessions li");
  await page.click("#everywhere");
  await page.waitForSelector("#outside:not([hidden])");
  await second.waitForSelector("#outside:not([hidden])");
  for (const line of stage.log) assert.doesNotMatch(line, /Content Security Policy|TypeError/);
}
