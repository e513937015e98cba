<?php
require __DIR__ . '/../lib.php';

page('Good bye', function () {
    echo '<p>You are signed out. <a href="/login.php">Sign in again</a></p>';
});
