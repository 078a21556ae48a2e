#include <fcgiapp.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  FCGX_Request request;
  if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0) return 8;
  while (FCGX_Accept_r(&request) == 0) {
    const char *method = FCGX_GetParam("REQUEST_METHOD", request.envp);
    const char *query = FCGX_GetParam("QUERY_STRING", request.envp);
    FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n");
    if (method == NULL || strcmp(method, "HEAD") != 0) {
      char buffer[8192];
      int count;
      FCGX_FPrintF(request.out, "query %s\nbody ", query == NULL ? "-" : query);
      while ((count = FCGX_GetStr(buffer, sizeof buffer, request.in)) > 0) FCGX_PutStr(buffer, count, request.out);
    }
    FCGX_Finish_r(&request);
  }
  return 0;
}
