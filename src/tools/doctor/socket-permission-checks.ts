/** The question about permissions: may the web server's user write to the socket, and enter every folder above it? */
import { statSync } from "node:fs";
import { shWord } from "../../generate/quoting.ts";
import { forbids, type Obstacle, openWay, walkAndAsk } from "./access.ts";
import { groupName } from "./identity.ts";
import type { Check, Identity, Remedy } from "./model.ts";
import { badSocket, perSocket } from "./sockets.ts";

const permission = perSocket(
  "socket.permission",
  "May the web server's user open the socket?",
  async (socket) => {
    const { address, user } = socket;
    if (address.kind !== "unix" || user === undefined || !address.path.startsWith("/")) return [];
    const { obstacle, obstacles, steps, missing } = await walkAndAsk(address.path, user, ["w"]);
    if (obstacle === undefined) {
      if (missing !== undefined) return [];
      const says = `${user.name} may open ${address.path}`;
      return [{ id: "socket.permission", verdict: "good", says, evidence: steps, remedy: [] }];
    }
    const says = `${user.name}, the web server's user, ${forbids(obstacle)}`;
    const folders = obstacles.filter(({ isFolder }) => isFolder);
    const file = obstacles.find(({ isFolder }) => !isFolder);
    const lasting = `so that it stays when the application starts again: postern serve --listen-group ${groupOf(user)}`;
    const evidence = file === undefined ? steps : [...steps, lasting];
    return [
      badSocket(
        "no-permission",
        socket,
        says,
        evidence,
        ...openWay(folders, user),
        ...(file === undefined ? [] : share(file, user)),
      ),
    ];
  },
);

/** The socket for the web server's group, and not for everybody. */
function share({ path, owner }: Obstacle, user: Identity): Remedy[] {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return [];
  const word = shWord("path", path);
  if (owner.uid === user.uid) return [{ run: `chmod u+rw ${word}` }];
  const isGroups = user.gids.includes(owner.gid);
  return [...(isGroups ? [] : [{ run: `chgrp ${groupOf(user)} ${word}` }]), { run: `chmod g+rw ${word}` }];
}

function groupOf({ gids, name }: Identity): string {
  return gids[0] === undefined ? name : groupName(gids[0]);
}

export const socketPermissionChecks: readonly Check[] = [permission];
