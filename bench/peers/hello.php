<?php // The benchmark's application for php-fpm.
header("Content-Type: text/plain");
echo "hello world\n";
