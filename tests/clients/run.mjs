// Runs one case of one script: node run.mjs SCRIPT CASE. It succeeds if nothing is thrown.
const [script, name] = process.argv.slice(2);
const cases = await import(`./${script}.mjs`);
if (typeof cases[name] !== 'function') throw new Error(`${script}.mjs has no case ${name}`);
await cases[name]();
// A client may have set itself a timer for the next refresh.
process.exit(0);
