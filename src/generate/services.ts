/** `postern init`: the files and commands by which a service manager runs Postern. Pure: a model in, texts out. */
import { assertNever } from "../base/errors.ts";
import type { GeneratedService, ServiceKind, ServiceModel } from "./model.ts";
import { openrcScript } from "./openrc.ts";
import { checkModel } from "./parts.ts";
import { runitService } from "./runit.ts";
import { screenScript } from "./screen.ts";
import { sharedHostingFiles } from "./shared-hosting.ts";
import { supervisorProgram } from "./supervisor.ts";
import { systemdService } from "./systemd.ts";
import { sysvScript } from "./sysv.ts";

export {
  type GeneratedService,
  SERVICE_KINDS,
  type ServiceKind,
  type ServiceModel,
  type ServiceSocket,
} from "./model.ts";

/**
 * The files of one kind of service.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a value that this kind has no way to write
 */
export function generateService(kind: ServiceKind, model: ServiceModel): GeneratedService {
  checkModel(model);
  switch (kind) {
    case "systemd":
      return systemdService(model);
    case "supervisor":
      return supervisorProgram(model);
    case "sysv":
      return sysvScript(model);
    case "openrc":
      return openrcScript(model);
    case "runit":
      return runitService(model);
    case "screen":
      return screenScript(model);
    case "shared-hosting":
      return sharedHostingFiles(model);
    default:
      return assertNever(kind);
  }
}
