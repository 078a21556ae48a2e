import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { isPythonApp } from "../../../src/config/python-app.ts";
import { temporaryFolder } from "../../support/temp.ts";

let folder = "";
beforeAll(() => {
  folder = temporaryFolder("pa");
  const files = {
    "flask.fcgi": "#!/usr/bin/python\nimport flup\n",
    "env.fcgi": "#!/usr/bin/env python3.11 -u\n",
    "node.fcgi": "#!/usr/bin/env node\n",
    "odd:name": "module.exports = 1;\n",
    "python-like.js": "// python\n",
    program: "#!/srv/venv/bin/python3\n",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  mkdirSync(join(folder, "folder"));
});

describe("an application", () => {
  it.each([
    "app.py",
    "app.py:application",
    "app.py:make()",
    "site.wsgi",
    "yourapplication:app",
    "mysite.wsgi:application",
    "package.module:factory.make()",
    "flask.fcgi",
    "env.fcgi",
    "program",
  ])("named %s is Python's", (name) => {
    expect(isPythonApp(join(folder, name))).toBe(true);
  });

  it.each([
    "app.js",
    "app.ts",
    "python-like.js",
    "node.fcgi",
    "nowhere.fcgi",
    "odd:name",
    "a b:c",
    "yourapplication:1",
    "http://host:80",
    "folder",
  ])("named %s is not", (name) => {
    expect(isPythonApp(join(folder, name))).toBe(false);
  });
});
