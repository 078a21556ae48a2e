/** Every animal of the zoo, in the doctor's order of causes. */
import { ANSWERS } from "./answers.ts";
import type { Animal } from "./model.ts";
import { PROGRAMS } from "./programs.ts";
import { SOCKETS } from "./sockets.ts";

export const ZOO: readonly Animal[] = [...PROGRAMS, ...SOCKETS, ...ANSWERS];
