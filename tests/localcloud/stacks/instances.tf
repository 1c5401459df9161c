# An instance and a launch template with all that they may say beside the network.

variable "subnet_ids" { type = list(string) }
variable "security_group_id" { type = string }
variable "ami_id" { type = string }

resource "aws_iam_role" "instance" {
  name = "drift-instance"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_instance_profile" "instance" {
  name = "drift-instance"
  role = aws_iam_role.instance.name
}

resource "aws_instance" "direct" {
  ami                                  = var.ami_id
  instance_type                        = "t3.micro"
  subnet_id                            = var.subnet_ids[0]
  vpc_security_group_ids               = [var.security_group_id]
  iam_instance_profile                 = aws_iam_instance_profile.instance.name
  user_data                            = "#cloud-config\n{}\n"
  disable_api_termination              = false
  disable_api_stop                     = false
  instance_initiated_shutdown_behavior = "terminate"
  monitoring                           = true

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }

  tags = { Name = "direct" }
}

resource "aws_launch_template" "fleet" {
  name                    = "drift-instances"
  image_id                = var.ami_id
  instance_type           = "t3.micro"
  disable_api_termination = false
  vpc_security_group_ids  = [var.security_group_id]

  iam_instance_profile {
    name = aws_iam_instance_profile.instance.name
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }
}

output "instance_id" {
  value = aws_instance.direct.id
}
