only_for_this_controller = request.controller
