<?php
/* For php-cgi under `postern spawn`. /crash kills the process, everything else says who answers. */
$uri = $_SERVER['REQUEST_URI'];
if ($uri === '/crash') {
    exec('kill -9 ' . getmypid());
}
if ($uri === '/slow') {
    usleep(300 * 1000);
}
if ($uri === '/print') {
    file_put_contents('php://stderr', "responder printed\n");
}
header('Content-Type: application/json');
echo json_encode(['pid' => getmypid(), 'release' => 'php', 'url' => $uri], JSON_UNESCAPED_SLASHES);
