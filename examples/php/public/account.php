<?php
// A new password. It goes on with a session of another number.
require __DIR__ . '/../lib.php';

$user = member();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $new = (string) ($_POST['new'] ?? '');
    if ($new === '' || !password_is_right($user, (string) ($_POST['old'] ?? ''))) {
        redirect('/account.php?error=1');
    }
    set_password($user, $new);
    session_regenerate_id(true);
    redirect('/account.php?done=1');
}

page('Account', function () {
    if (isset($_GET['error'])) {
        echo '<p class="error">The old password is wrong.</p>';
    }
    if (isset($_GET['done'])) {
        echo '<p>The password is changed.</p>';
    }
    ?>
    <form method="post" action="/account.php">
      <label>Old password <input name="old" type="password" autocomplete="current-password" required></label>
      <label>New password <input name="new" type="password" autocomplete="new-password" required></label>
      <button>Change</button>
    </form>
    <p><a href="/index.php">Back</a></p>
    <?php
});
