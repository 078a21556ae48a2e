/* A FastCGI responder on libfcgi, for `postern spawn`. /crash aborts, everything else says who answers. */
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  char release[64] = "?";
  FILE *file = fopen("release.txt", "r");
  if (file == NULL || fgets(release, sizeof release, file) == NULL) return 9;
  fclose(file);
  fprintf(stderr, "responder started\n");

  FCGX_Request request;
  if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0) return 8;
  while (FCGX_Accept_r(&request) == 0) {
    const char *uri = FCGX_GetParam("REQUEST_URI", request.envp);
    if (uri == NULL) uri = "";
    if (strcmp(uri, "/crash") == 0) abort();
    if (strcmp(uri, "/slow") == 0) usleep(300 * 1000);
    FCGX_FPrintF(request.out, "Content-Type: application/json\r\n\r\n");
    FCGX_FPrintF(request.out, "{\"pid\":%d,\"release\":\"%s\",\"url\":\"%s\"}", (int)getpid(), release, uri);
    FCGX_Finish_r(&request);
  }
  return 0;
}
