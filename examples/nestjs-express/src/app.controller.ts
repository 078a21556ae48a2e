import { createHash } from "node:crypto";
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
import type { Request, Response } from "express";
import { fastcgi } from "postern";
import { finalize, interval, map, type Observable, startWith } from "rxjs";
import { NewsService } from "./news.service.js";

@Controller()
export class AppController {
  readonly #news: NewsService;

  constructor(@Inject(NewsService) news: NewsService) {
    this.#news = news;
  }

  @Get()
  @Header("Content-Type", "text/html; charset=utf-8")
  page(@Req() request: Request): string {
    return `<p>${this.#news.greeting}</p><a href="${request.baseUrl}/news/1">News</a>\n`;
  }

  @Get("news/:id")
  one(@Param("id") id: string, @Req() request: Request): object {
    return { id, mount: request.baseUrl, asked: request.originalUrl };
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
  async put(@Param("name") name: string, @Req() request: Request): Promise<object> {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const piece of request) {
      bytes += piece.length;
      hash.update(piece);
    }
    return { name, bytes, sha256: hash.digest("hex") };
  }

  @Get("cookies")
  cookies(@Req() request: Request, @Res({ passthrough: true }) response: Response): object {
    response.cookie("seen", "yes", { httpOnly: true }).cookie("last", "news");
    return { theme: /(?:^|; )theme=([^;]*)/.exec(request.headers.cookie ?? "")?.[1] };
  }

  @Get("old")
  old(@Req() request: Request, @Res() response: Response): void {
    response.redirect(`${request.baseUrl}/news/1`);
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

  /** Express makes the ETag, and answers 304 to who has it. */
  @Get("cached")
  cached(): string {
    return "the same as ever\n";
  }

  @Get("whoami")
  whoami(@Ip() address: string): object {
    return { address };
  }

  /** What FastCGI tells beyond HTTP: this throws where the application runs without Postern. */
  @Get("gateway")
  gateway(@Req() request: Request): object {
    return { server: fastcgi(request).gateway.serverSoftware };
  }

  @Get("fail")
  fail(): never {
    throw new Error("secret: Nest answers 500 to this, and logs the stack");
  }
}
