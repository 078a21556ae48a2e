import { Injectable, type OnModuleInit } from "@nestjs/common";

/** Shows that Nest was started as a whole: without app.init() there is no greeting. */
@Injectable()
export class NewsService implements OnModuleInit {
  greeting = "";

  onModuleInit(): void {
    this.greeting = "Hello.";
  }

  *numbers(): Generator<string> {
    for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
  }
}
