// A staff directory: a login form, and a session in memory that express-session keeps.
const { randomBytes, scryptSync, timingSafeEqual } = require('node:crypto');
const express = require('express');
const session = require('express-session');

const people = new Map();
for (const [id, name, password, desk] of [
  [7, 'ann', 'correct horse battery', 'B 12'],
  [8, 'bob', 'bob likes fishing', 'C 3'],
]) {
  people.set(name, { id, name, desk, password: hash(password) });
}

const app = express();
app.use(express.urlencoded({ extended: false }), express.json());
// A new secret at each start, and nothing on disk: a restart forgets everybody.
app.use(session({ secret: randomBytes(32).toString('hex'), resave: false, saveUninitialized: false }));

app.post('/login', (request, response) => {
  const person = people.get(request.body?.email);
  if (!person || !isRight(request.body.password, person)) return response.status(403).send('<p>No such login.</p>');
  // Another number after the login, as the documentation of express-session advises.
  request.session.regenerate((error) => {
    if (error) return response.sendStatus(500);
    request.session.person = person.name;
    request.session.save(() => response.redirect(303, '/'));
  });
});

app.post('/logout', (request, response) => {
  request.session.destroy(() => response.clearCookie('connect.sid').redirect(303, '/goodbye'));
});

app.get('/goodbye', (_request, response) => response.send('<p>Good bye.</p>'));

app.use((request, response, next) => {
  request.person = people.get(request.session.person);
  if (!request.person) return response.status(401).json({ message: 'not signed in' });
  next();
});

app.get('/', (request, response) => response.send(`<p>Hello ${request.person.name}.</p>`));

app.get('/me', (request, response) => {
  const { id, name, desk } = request.person;
  response.json({ person: { id, name, desk } });
});

// What this session has looked at, kept in the session alone.
app.get('/people/:name', (request, response) => {
  const person = people.get(request.params.name);
  if (!person) return response.status(404).json({ message: 'nobody of that name' });
  const looked = (request.session.looked ??= []);
  looked.push(person.name);
  response.json({ name: person.name, desk: person.desk, looked });
});

app.put('/me/password', (request, response) => {
  const { old, password } = request.body ?? {};
  if (!isRight(old, request.person) || !password) return response.status(422).json({ message: 'wrong password' });
  request.person.password = hash(password);
  response.sendStatus(204);
});

function hash(password, salt = randomBytes(16)) {
  return { salt, key: scryptSync(password, salt, 32) };
}

function isRight(password, { password: { salt, key } }) {
  return typeof password === 'string' && timingSafeEqual(hash(password, salt).key, key);
}

const port = Number(process.env.PORT ?? 3000);
app.listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
