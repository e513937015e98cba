// Shows what the client does, message by message. The client itself is sidegate.js; here is only what is seen of it.
import { createClient } from "./sidegate.js";

const byId = (id) => document.getElementById(id);
const stamp = (template) => byId(template).content.firstElementChild.cloneNode(true);

const client = createClient({ base: location.origin, onEvent: heard, onSignedOut: show });

// The flow: episodes, the newest on top, and in each of them one arrow for messages of a kind.

let episode = null;

function begin(title) {
  if (episode?.open) return episode;
  byId("empty").hidden = true;
  const element = stamp("episode");
  element.querySelector(".title").textContent = title;
  element.querySelector("time").textContent = new Date().toLocaleTimeString();
  byId("episodes").prepend(element);
  while (byId("episodes").children.length > 20) byId("episodes").lastElementChild.remove();
  episode = { element, open: true, steps: new Map(), refreshes: 0, since: performance.now() };
  return episode;
}

/** One more message of this kind. */
function step(kind, text) {
  const { element, steps } = begin("Meanwhile");
  const name = `${kind} ${text}`;
  let known = steps.get(name);
  if (!known) {
    known = { element: stamp("step"), count: 0 };
    known.element.classList.add(...kind.split(" "));
    known.element.querySelector(".text").textContent = text;
    element.querySelector(".steps").append(known.element);
    steps.set(name, known);
  }
  known.count += 1;
  if (known.count > 1) known.element.querySelector(".count").textContent = `${known.count} ×`;
}

function end(moral, good) {
  const { element, refreshes, since } = episode;
  episode.open = false;
  const line = element.querySelector(".moral");
  line.hidden = false;
  const time = `${Math.round(performance.now() - since)} ms`;
  const strong = document.createElement("b");
  strong.textContent = good ?? "";
  const refreshed = refreshes === 0 ? "" : refreshes === 1 ? ", one refresh" : `, ${refreshes} refreshes`;
  line.append(strong, good ? ` ${moral}${refreshed}, ${time}` : moral);
}

/** Requests about the person's account, which the page makes by itself. */
const quiet = new Set();
const calls = new Map();

const OVER = {
  logout: "signed out, in all tabs",
  ended: "the session has ended",
  replaced: "another login has taken its place",
};

function heard(event) {
  if (event.type === "request" || event.type === "retry") {
    const { pathname } = new URL(event.url);
    if (pathname.startsWith("/auth/")) quiet.add(event.id);
    calls.set(event.id, event);
  }
  if (quiet.has(event.id)) return;
  switch (event.type) {
    case "request":
    case "retry": {
      const again = event.type === "retry" ? ", again" : "";
      return step("ask", `${event.method} ${new URL(event.url).pathname}${again}`);
    }
    case "answer": {
      const isAgain = calls.get(event.id)?.type === "retry" ? " again" : "";
      if (event.status === 401) return step("back no", `401: the token has ${isOver() ? "expired" : "been ended"}`);
      step(`inner pass${isAgain}`, "X-Auth-Subject: demo");
      return step(`through back ok${isAgain}`, `${event.status}`);
    }
    case "refresh":
      begin("This page asks who you are").refreshes += 1;
      return step("turn", "POST /refresh");
    case "tokens":
      live(event.expiresIn);
      if (event.from === "another tab") {
        const isAlone = !episode?.open;
        step("aside turn", "another tab has refreshed; this one has the new token, too");
        if (isAlone) end("one refresh for all tabs");
      } else {
        step("back turn", `${event.from === "login" ? "a pair" : "a new pair"}, good for ${event.expiresIn} s`);
      }
      return void setTimeout(account, 200);
    case "unavailable":
      return step("back no", event.status ? `${event.status}: not now` : "no answer");
    case "signed-in":
      return show();
    case "signed-out":
      return step("aside no", OVER[event.why]);
  }
}

// What the buttons do.

async function ask(title, count, init) {
  begin(title);
  const answers = await Promise.all(
    Array.from({ length: count }, (_, number) =>
      client.fetch(count > 1 ? `/api/notes?${number}` : "/api/notes", init).catch(() => null),
    ),
  );
  const statuses = [...new Set(answers.map((answer) => answer?.status ?? "no answer"))];
  const all = `${count > 1 ? `${count} × ` : ""}${statuses.join(", ")}`;
  const isGood = answers.every((answer) => answer?.ok);
  if (isGood && episode.refreshes > 0) end(`The page saw ${all}`, "Nobody noticed.");
  else if (isGood) end(`The page saw ${all}`, "The token was good.");
  else end(`The page saw ${all}.`);
}

byId("one").onclick = () => ask("One request", 1);
byId("many").onclick = () => ask("20 requests at once", 20);
byId("write").onclick = () => ask("A note is written", 1, { method: "POST", body: `at ${new Date().toLocaleTimeString()}` });
byId("tab").onclick = () => open(location.href, "_blank", "noopener");

byId("knock").onclick = async () => {
  begin("A request without a token");
  step("ask", "GET /api/notes");
  const answer = await fetch("/api/notes");
  step("back no", `${answer.status}: no token`);
  end("The API never heard of it.");
};

byId("login").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  byId("fault").hidden = true;
  begin("Log in");
  step("ask", "POST /login");
  try {
    await client.login(form.get("name"), form.get("password"));
    end("The refresh token is stored, the access token is not.");
  } catch (error) {
    step("back no", error.status ? `${error.status}: ${error.code}` : "no answer");
    end(error.code === "invalid_grant" ? "Nobody is told which of the two was wrong." : "Nobody is signed in.");
    byId("fault").textContent = error.message;
    byId("fault").hidden = false;
  }
};

byId("logout").onclick = async () => {
  begin("Log out");
  step("ask", "POST /logout");
  const isHeard = await client.logout();
  end(isHeard ? "Both tokens are refused from now on, on every replica." : "The server has not heard it.");
};

byId("everywhere").onclick = async () => {
  begin("Log out everywhere");
  step("ask", "POST /auth/logout-all");
  try {
    await client.logoutEverywhere();
    end("Every session of this user has ended, on all devices.");
  } catch (error) {
    end(`Nothing has ended: ${error.message}.`);
  }
};

// Who and where.

async function account() {
  if (!client.signedIn) return;
  try {
    const me = await (await client.fetch("/auth/me")).json();
    const name = document.createElement("b");
    name.textContent = me.sub;
    byId("who").replaceChildren(name, `\n${me.roles.join(", ")}`);
    byId("who").hidden = false;
    byId("sessions").replaceChildren(...(await client.sessions()).map(shown));
  } catch {
    // The flow says why.
  }
}

function shown(session) {
  const item = stamp("session");
  item.querySelector("strong").textContent = device(session.user_agent ?? "");
  const place = `${session.address ?? "somewhere"}, ${ago(session.last_used)}`;
  item.querySelector(".note").textContent = place;
  const button = item.querySelector("button");
  if (session.current) {
    const here = document.createElement("em");
    here.textContent = "this one";
    button.replaceWith(here);
  } else {
    button.onclick = async () => {
      await client.endSession(session.id).catch(() => null);
      await account();
    };
  }
  return item;
}

function device(agent) {
  const first = (names) => names.find(([sign]) => agent.includes(sign))?.[1];
  const browser = first([["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"], ["curl/", "curl"]]);
  const system = first([["Android", "Android"], ["iPhone", "iPhone"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]]);
  return [browser ?? (agent.split(/[\s/]/)[0] || "Unknown device"), system].filter(Boolean).join(" on ");
}

function ago(time) {
  const minutes = Math.round((Date.now() - Date.parse(time)) / 60_000);
  if (minutes < 1) return "just now";
  return minutes < 60 ? `${minutes} min ago` : new Date(time).toLocaleString();
}

// The access token's time.

/** What the gate allows for clocks that differ, here. */
const LEEWAY = 1000;

let lifetime = 0;
let expires = 0;

function live(seconds) {
  lifetime = seconds * 1000;
  expires = performance.now() + lifetime;
  show();
}

const isOver = () => performance.now() > expires + LEEWAY;

function tick() {
  if (!client.signedIn || lifetime === 0) return;
  const left = expires - performance.now();
  byId("ring").style.setProperty("--gone", `${100 - (100 * Math.max(0, left)) / lifetime}`);
  byId("seconds").textContent = Math.max(0, Math.ceil(left / 1000));
  const token = document.querySelector(".token");
  token.classList.toggle("soon", left < 6000);
  token.classList.toggle("over", isOver());
  byId("state").textContent = isOver() ? "expired: the next request renews it" : "good, and checked in memory";
}
setInterval(tick, 100);

function show() {
  const { signedIn } = client;
  const hadFocus = document.activeElement;
  byId("outside").hidden = signedIn;
  byId("inside").hidden = !signedIn;
  // Who uses the keyboard goes on where the page does.
  if (hadFocus?.closest("[hidden]")) document.querySelector(signedIn ? "#one" : "#login input").focus();
  if (!signedIn) {
    byId("who").hidden = true;
    lifetime = 0;
  }
  tick();
}

addEventListener("pageshow", show);
show();
if (client.signedIn) {
  begin("This page was loaded: no access token in memory");
  await account();
  if (episode.open) end("A reload asks for no password.");
}
