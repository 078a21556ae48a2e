/** Exit codes; `docs/signals.md` lists them. */
export const ExitCode = { Ok: 0, Failure: 1, Usage: 2, Boot: 3, App: 4 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
