use strict; use warnings; use FCGI;
my %params;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%params);
while ($request->Accept() >= 0) {
    print "Content-Type: text/plain\r\n\r\n";
    next if ($params{REQUEST_METHOD} // '') eq 'HEAD';
    print 'query ', $params{QUERY_STRING} // '-', "\nbody ";
    while (read STDIN, my $buffer, 8192) { print $buffer }
}
