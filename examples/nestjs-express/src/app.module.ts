import { Module } from "@nestjs/common";
import { AppController } from "./app.controller.js";
import { NewsService } from "./news.service.js";

@Module({ controllers: [AppController], providers: [NewsService] })
export class AppModule {}
