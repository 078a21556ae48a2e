import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import {
  Body,
  Controller,
  Get,
  Header,
  HttpCode,
  Inject,
  Ip,
  type MessageEvent,
  Param,
  Post,
  Put,
  Query,
  Req,
  Res,
  Sse,
  StreamableFile,
} from "@nestjs/common";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastcgi } from "postern";
import { finalize, interval, map, type Observable, startWith } from "rxjs";
import { NewsService } from "./news.service.js";

/** The mount, which the web server tells. */
const mountOf = ({ raw }: FastifyRequest): string =>
  (raw as IncomingMessage & { baseUrl?: string }).baseUrl ?? "";

@Controller()
export class AppController {
  readonly #news: NewsService;

  constructor(@Inject(NewsService) news: NewsService) {
    this.#news = news;
  }

  @Get()
  @Header("Content-Type", "text/html; charset=utf-8")
  page(@Req() request: FastifyRequest): string {
    return `<p>${this.#news.greeting}</p><a href="${mountOf(request)}/news/1">News</a>\n`;
  }

  @Get("news/:id")
  one(@Param("id") id: string, @Req() request: FastifyRequest): object {
    return { id, mount: mountOf(request), asked: request.originalUrl };
  }

  @Get("search")
  search(@Query("q") q: string): object {
    return { q };
  }

  @Post("json")
  @HttpCode(200)
  json(@Body() got: unknown): object {
    return { got };
  }

  @Post("form")
  @HttpCode(200)
  form(@Body() got: unknown): object {
    return { got };
  }

  @Put("files/:name")
  put(@Param("name") name: string, @Body() file: Buffer): object {
    return { name, bytes: file.length, sha256: createHash("sha256").update(file).digest("hex") };
  }

  @Get("cookies")
  cookies(@Req() request: FastifyRequest, @Res({ passthrough: true }) response: FastifyReply): object {
    response.header("Set-Cookie", ["seen=yes; HttpOnly", "last=news"]);
    return { theme: /(?:^|; )theme=([^;]*)/.exec(request.headers.cookie ?? "")?.[1] };
  }

  @Get("old")
  old(@Req() request: FastifyRequest, @Res() response: FastifyReply): void {
    void response.redirect(`${mountOf(request)}/news/1`, 302);
  }

  @Get("numbers")
  numbers(): StreamableFile {
    return new StreamableFile(Readable.from(this.#news.numbers(), { objectMode: false }), {
      type: "text/plain",
    });
  }

  /** Server-sent events: Postern tells nginx not to hold them back. */
  @Sse("events")
  events(): Observable<MessageEvent> {
    return interval(15_000).pipe(
      map(() => ({ data: "still here" })),
      startWith({ data: "hello" }),
      finalize(() => console.log("a listener left")),
    );
  }

  @Get("cached")
  cached(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    void reply.header("ETag", '"v1"');
    if (request.headers["if-none-match"] === '"v1"') void reply.code(304).send();
    else void reply.send("the same as ever\n");
  }

  @Get("whoami")
  whoami(@Ip() address: string): object {
    return { address };
  }

  /** What FastCGI tells beyond HTTP: this throws where the application runs without Postern. */
  @Get("gateway")
  gateway(@Req() request: FastifyRequest): object {
    return { server: fastcgi(request).gateway.serverSoftware };
  }

  @Get("fail")
  fail(): never {
    throw new Error("secret: Nest answers 500 to this, and logs the stack");
  }
}
