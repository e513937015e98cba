// Pictures of the demonstration for docs/images: `node screenshots.mjs http://127.0.0.1:8080`, while `scripts/demo` runs.
import { fileURLToPath } from "node:url";
import { launch } from "./stage.mjs";

const [gate] = process.argv.slice(2);
const folder = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const browser = await launch();

async function visitor(colorScheme, userAgent) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1200, height: 860 }, userAgent });
  const page = await context.newPage();
  await page.goto(`${gate}/demo/`);
  return page;
}

async function logIn(page) {
  await page.click("#login .primary");
  await page.waitForSelector("#sessions li");
}

const picture = (page, name) => page.screenshot({ path: `${folder}demo-${name}.png`, animations: "disabled" });

for (const scheme of ["light", "dark"]) {
  const page = await visitor(scheme);
  await page.click("#knock");
  await page.waitForSelector(".moral:not([hidden])");
  if (scheme === "light") await picture(page, "signed-out");
  await logIn(page);

  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1";
  const other = await visitor(scheme, phone);
  await logIn(other);

  await page.click("#one");
  await page.waitForSelector(".token.over", { timeout: 60_000 });
  await page.click("#many");
  await page.waitForFunction(() => document.querySelectorAll("#sessions li").length > 1);
  await page.waitForFunction(() => document.querySelectorAll(".steps")[0].children.length === 7);
  await picture(page, scheme === "light" ? "refresh" : "dark");

  if (scheme === "light") {
    await page.locator("#sessions button").first().click();
    await page.waitForFunction(() => document.querySelectorAll("#sessions li").length === 1);
    await other.click("#one");
    await other.waitForSelector("#outside:not([hidden])");
    await page.click("#everywhere");
    await page.waitForSelector("#outside:not([hidden])");
    await picture(page, "ended");
  }
  await page.evaluate(() => localStorage.clear());
}
await browser.close();
