<?php
// Forgets who it was.
require __DIR__ . '/../lib.php';

$_SESSION = [];
session_destroy();
redirect('/bye.php');
