import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { isPythonApp, pythonSource } from "../../../src/config/python-app.ts";
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
  for (const name of ["folder", "package", "mysite"]) mkdirSync(join(folder, name));
  const modules = ["app.py", "package/__init__.py", "package/module.py", "mysite/wsgi.py", "site.wsgi"];
  for (const path of modules) writeFileSync(join(folder, path), "");
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

describe("the source of", () => {
  it.each([
    ["app.py", "app.py"],
    ["app.py:name", "app.py"],
    ["app:name", "app.py"],
    ["package:app", "package/__init__.py"],
    ["package.module:make()", "package/module.py"],
    ["mysite.wsgi:application", "mysite/wsgi.py"],
    ["site.wsgi:application", "site.wsgi"],
    ["flask.fcgi", "flask.fcgi"],
  ])("%s is %s", (name, source) => {
    expect(pythonSource(join(folder, name))).toBe(join(folder, source));
  });

  it.each(["gone.py", "gone:app", "package.gone:app", "folder"])("%s is not there", (name) => {
    expect(pythonSource(join(folder, name))).toBeUndefined();
  });
});
