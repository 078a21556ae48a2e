#!/usr/bin/perl
# A FastCGI responder on the module FCGI, for `postern spawn`. /crash dies, everything else says who answers.
use strict;
use warnings;
use FCGI;

open my $file, '<', 'release.txt' or die "no release.txt: $!";
chomp(my $release = <$file>);
print STDERR "responder started\n";

my %params;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%params);
while ($request->Accept() >= 0) {
    my $uri = $params{REQUEST_URI};
    kill 'KILL', $$ if $uri eq '/crash';
    select undef, undef, undef, 0.3 if $uri eq '/slow';
    print "Content-Type: application/json\r\n\r\n";
    print qq({"pid":$$,"release":"$release","url":"$uri"});
}
