/** The rules by which a mount is found, in a sentence each. Their names are those of cgi/mount-rules.ts. */

/** Rule → what it saw and did. A test holds the names against everything the rules ever answer. */
export const MOUNT_RULES: Readonly<Record<string, string>> = {
  root: "SCRIPT_NAME is empty, so the application is at the root; the path is REQUEST_URI's",
  mounted: "SCRIPT_NAME and PATH_INFO together are REQUEST_URI's path: it is cut where SCRIPT_NAME ends",
  "prefix-clash":
    "PATH_INFO does not begin with a slash: the web server's location matches more than the mount; the whole path is taken",
  "set-handler":
    "SCRIPT_FILENAME shows Apache's SetHandler in a Location, which cuts the path at a file and not at the mount; the whole path is taken",
  "whole-path":
    "SCRIPT_NAME is the whole path and there is no PATH_INFO, so nothing says that there is a mount",
  proxied:
    "SCRIPT_FILENAME has only the end of the path: Apache's ProxyPass took the beginning off, and that is the mount",
  script: "SCRIPT_NAME names a program and REQUEST_URI names it too: the program is the mount",
  "mounted-tidied":
    "SCRIPT_NAME and PATH_INFO agree with REQUEST_URI after doubled slashes and dots are resolved; the parameters' spelling is taken",
  "script-hidden":
    "SCRIPT_NAME names a program that REQUEST_URI does not have (a rewrite): its folder is the mount",
  "front-controller":
    "SCRIPT_NAME names a program, there is no PATH_INFO, and REQUEST_URI has other text (try_files, FallbackResource): the program's folder is the mount",
  "prefix-added":
    "PATH_INFO alone is REQUEST_URI's path: a proxy in front took SCRIPT_NAME off, and links need it",
  rewritten:
    "REQUEST_URI names another place than SCRIPT_NAME and PATH_INFO: an internal rewrite, whose result counts",
  "request-uri-decoded":
    "the web server sends REQUEST_URI decoded, so it is not used; SCRIPT_NAME and PATH_INFO are encoded again",
  "no-request-uri": "there is no usable REQUEST_URI; SCRIPT_NAME and PATH_INFO are encoded again",
  asterisk: "the request is OPTIONS *, which is about no path",
  base: "the setting base says the mount; REQUEST_URI is cut there",
  "base-added":
    "the setting base says the mount, and REQUEST_URI does not begin with it: taken for a path inside that a proxy has shortened",
  keep: 'the setting scriptName is "keep": SCRIPT_NAME and PATH_INFO as they came',
  LighttpdCGIRootFix:
    "the setting LighttpdCGIRootFix: the mount is the root, the path is SCRIPT_NAME + PATH_INFO",
  ScriptNameStripper: "the setting ScriptNameStripper: SCRIPT_NAME is dropped, the path is PATH_INFO",
};
