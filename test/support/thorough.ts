/** Whether everything is to be tested: with CI set, or POSTERN_THOROUGH. Else a part that a developer can wait for. */
export const isThorough: boolean = Boolean(process.env["CI"] || process.env["POSTERN_THOROUGH"]);
