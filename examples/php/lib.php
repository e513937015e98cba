<?php
// What every page of this little application begins with: a session, and who it belongs to.

const USERS = __DIR__ . '/data/users.json';

$sessions = __DIR__ . '/data/sessions';
if (!is_dir($sessions)) {
    mkdir($sessions, 0700, true);
}
session_save_path($sessions);
session_start();

/** Who is signed in; whoever is not is sent to the form. */
function member(): string
{
    if (!isset($_SESSION['user'])) {
        redirect('/login.php?next=' . urlencode($_SERVER['REQUEST_URI']));
    }
    return $_SESSION['user'];
}

/** Name => hash. The first time there are two users. */
function users(): array
{
    if (!is_file(USERS)) {
        $first = ['ann' => 'correct horse battery', 'bob' => 'bob likes fishing'];
        save(array_map(fn ($password) => password_hash($password, PASSWORD_DEFAULT), $first));
    }
    return json_decode(file_get_contents(USERS), true);
}

function save(array $users): void
{
    file_put_contents(USERS, json_encode($users), LOCK_EX);
}

function password_is_right(string $name, string $password): bool
{
    return password_verify($password, users()[$name] ?? '');
}

function set_password(string $name, string $password): void
{
    save([$name => password_hash($password, PASSWORD_DEFAULT)] + users());
}

function redirect(string $place): never
{
    header('Location: ' . $place, true, 302);
    exit;
}

function e(string $text): string
{
    return htmlspecialchars($text);
}

function page(string $title, callable $content): void
{
    ?>
<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title><?= e($title) ?></title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
  label, button { display: block; margin: .8rem 0 }
  .error { color: #b00020 }
</style>
<h1><?= e($title) ?></h1>
<?php
    $content();
}
