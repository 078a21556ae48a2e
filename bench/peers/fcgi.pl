# The benchmark's application in Perl, with FCGI: `fcgi.pl SOCKET`.
use strict;
use warnings;
use FCGI;

my $socket = FCGI::OpenSocket($ARGV[0], 511);
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, $socket);
while ($request->Accept() >= 0) {
    print "Content-Type: text/plain\r\n\r\nhello world\n";
}
