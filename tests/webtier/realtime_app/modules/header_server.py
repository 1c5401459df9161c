"""A websocket server that answers each message with the headers that the visitor came with: python header_server.py PORT"""

import json
import sys

import tornado.ioloop
import tornado.web
import tornado.websocket


class Headers(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin):
        return True

    def on_message(self, message):
        self.write_message(json.dumps({"message": message, **dict(self.request.headers.get_all())}))


tornado.web.Application([("/.*", Headers)]).listen(int(sys.argv[1]), address="127.0.0.1")
tornado.ioloop.IOLoop.current().start()
