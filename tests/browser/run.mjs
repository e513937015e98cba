// Runs one case in a real browser: `node run.mjs FILE CASE`. What it is about is told in the variable STAGE, see stage.rs.
import { open } from "./stage.mjs";

const [file, name] = process.argv.slice(2);
const { [name]: play } = await import(`./${file}.mjs`);
if (!play) throw new Error(`${file}.mjs has no case ${name}`);

const stage = await open(JSON.parse(process.env.STAGE));
try {
  await play(stage);
} catch (error) {
  console.error(error);
  for (const line of stage.log) console.error(line);
  process.exitCode = 1;
} finally {
  await stage.close();
}
