/* The benchmark's application in C: `libfcgi SOCKET`, one process, one connection at a time, as libfcgi works. */
#include <fcgiapp.h>
#include <stdlib.h>
#include <string.h>

enum { MEBIBYTE = 1048576 };

int main(int count, char **arguments) {
  if (count != 2 || FCGX_Init() != 0) return 1;
  static char body[MEBIBYTE], piece[65536];
  memset(body, 'x', sizeof body);
  FCGX_Request request;
  int listener = FCGX_OpenSocket(arguments[1], 511);
  if (listener < 0 || FCGX_InitRequest(&request, listener, 0) != 0) return 1;
  while (FCGX_Accept_r(&request) == 0) {
    const char *path = FCGX_GetParam("REQUEST_URI", request.envp);
    if (path != NULL && strcmp(path, "/download") == 0) {
      FCGX_FPrintF(request.out, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", MEBIBYTE);
      FCGX_PutStr(body, sizeof body, request.out);
    } else if (path != NULL && strcmp(path, "/upload") == 0) {
      int bytes = 0;
      for (int got; (got = FCGX_GetStr(piece, sizeof piece, request.in)) > 0;) bytes += got;
      FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n%d\n", bytes);
    } else {
      FCGX_PutS("Content-Type: text/plain\r\n\r\nhello world\n", request.out);
    }
    FCGX_Finish_r(&request);
  }
  return 0;
}
