<?php
// The page that only members see.
require __DIR__ . '/../lib.php';

$user = member();
$_SESSION['visits'] += 1;

page('Library', function () use ($user) {
    ?>
    <p>Hello <b><?= e($user) ?></b>, this is visit <b><?= (int) $_SESSION['visits'] ?></b> of this session.</p>
    <ul>
      <?php foreach ($_SESSION['shelf'] ?? [] as $book) { ?>
        <li><?= e($book) ?></li>
      <?php } ?>
    </ul>
    <form method="post" action="/shelf.php">
      <label>Book <input name="book" required></label>
      <button>Put on my shelf</button>
    </form>
    <p><a href="/account.php">Account</a> · <a href="/logout.php">Sign out</a></p>
    <?php
});
