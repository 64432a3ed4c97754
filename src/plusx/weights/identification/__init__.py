"""What a checkpoint is: the ResNet in it, its family, and of every field whether it is known, a convention or unknown."""
