<?php
// The login form, and what it is sent to.
require __DIR__ . '/../lib.php';

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $name = (string) ($_POST['user'] ?? '');
    if (password_is_right($name, (string) ($_POST['pass'] ?? ''))) {
        session_regenerate_id(true);
        $_SESSION = ['user' => $name, 'since' => date('c'), 'visits' => 0];
        redirect('/index.php');
    }
    redirect('/login.php?error=1');
}

page('Sign in', function () {
    if (isset($_GET['error'])) {
        echo '<p class="error">Name or password is wrong.</p>';
    }
    ?>
    <form method="post" action="/login.php">
      <input type="hidden" name="do" value="login">
      <label>Name <input name="user" autocomplete="username" required autofocus></label>
      <label>Password <input name="pass" type="password" autocomplete="current-password" required></label>
      <button>Sign in</button>
    </form>
    <?php
});
