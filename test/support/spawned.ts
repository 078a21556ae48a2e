/**
 * Programs started the way web servers and their helpers start them: a listening socket on some descriptor, others
 * closed, a bare environment. Recorded facts about each starter: ../shared/captures/spawn.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "./paths.ts";
import { type Running, run, start } from "./process.ts";
import { temporaryFolder } from "./temp.ts";

const PERL = "/usr/bin/perl";

/** Opens a listening socket, puts it on the given descriptors, in blocking mode, and becomes a shell command. */
const LAUNCHER = `
use IO::Socket::UNIX; use IO::Socket::INET; use POSIX;
$^F = 255; # what is opened here is not closed by exec
my ($address, $fds, $command) = @ARGV;
my $socket = $address =~ m{^/}
  ? IO::Socket::UNIX->new(Local => $address, Listen => 50)
  : IO::Socket::INET->new(LocalAddr => $address, Listen => 50, ReuseAddr => 1);
die "cannot listen on $address: $!" unless $socket;
POSIX::dup2(fileno($socket), $_) for split /,/, $fds;
exec "/bin/bash", "-c", $command;
`;

/** Whether programs can be started with a listening socket here. */
export const canLaunch: boolean = existsSync(PERL) && existsSync("/bin/bash") && process.platform === "linux";

/** Compiles src/ as it is now, for programs of their own. Returns the folder of index.js. */
export async function compileSources(): Promise<string> {
  const folder = temporaryFolder("dist");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const tsc = join(repositoryRoot, "node_modules/typescript/bin/tsc");
  const args = [
    "-p",
    join(repositoryRoot, "tsconfig.build.json"),
    "--emitDeclarationOnly",
    "false",
    "--outDir",
    folder,
  ];
  const { code, stdout } = await run(process.execPath, [tsc, ...args], { timeoutMs: 60_000 });
  if (!existsSync(join(folder, "index.js"))) throw new Error(`tsc ended with code ${code}\n${stdout}`);
  return folder;
}

export interface LaunchOptions {
  /** Path of a unix socket, or host:port. */
  readonly address: string;
  /** Where the socket goes. @default "0" */
  readonly fds?: string;
  /** Shell commands before the program, such as `exec 2>&-`. */
  readonly prelude?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts a program on a listening socket that it did not open. */
export function launch(program: string, options: LaunchOptions): Running {
  const command = `${options.prelude ?? ":"}; exec ${process.execPath} ${program}`;
  return start(PERL, ["-e", LAUNCHER, options.address, options.fds ?? "0", command], {
    env: options.env ?? {},
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}
