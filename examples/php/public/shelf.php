<?php
// Puts a book on the shelf of this session.
require __DIR__ . '/../lib.php';

member();
if ($_SERVER['REQUEST_METHOD'] === 'POST' && ($_POST['book'] ?? '') !== '') {
    $_SESSION['shelf'][] = (string) $_POST['book'];
}
redirect('/index.php');
